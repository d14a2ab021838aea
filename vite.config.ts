// vite.config: the demo page, served while developing and built to dist/. Tests have vitest.config.ts.
// Model files are served under /models/ beside the page; a build carries only the bundled tiny model and the calibrations.

import { cp, mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sirv from "sirv";
import { type Connect, defineConfig, type Plugin } from "vite";

const here = fileURLToPath(new URL(".", import.meta.url));
const modelFiles = /\.(gguf|json|calibration)$/;

/** What a build carries: the bundled model, and what is known of every model of the catalogue. */
const bundled = { tiny: /\.gguf$/, calibrations: /\.calibration$/ } as const;

export default defineConfig({
  root: join(here, "demo"),
  base: "./", // a build can be put in any folder of any site
  server: { fs: { allow: [here] } },
  build: { outDir: join(here, "dist"), emptyOutDir: true, target: "es2022", sourcemap: true },
  worker: { format: "es" },
  plugins: [serveModels()],
});

/** Serves models/ (byte ranges included) in `vite` and `vite preview`, and copies the tiny model and the calibrations into a build. */
function serveModels(): Plugin {
  const files = sirv(join(here, "models"), {
    dev: true,
    setHeaders: (response, path) => void (/\.(gguf|calibration)$/.test(path) && response.setHeader("Content-Type", "application/octet-stream")),
  });
  const middleware: Connect.NextHandleFunction = (request, response, next) => {
    const path = new URL(request.url ?? "/", "http://localhost").pathname;
    if (!modelFiles.test(path)) return next();
    files(request, response, () => {
      response.statusCode = 404; // the page's fallback to index.html would look like a model
      response.end();
    });
  };
  return {
    name: "lacuna-models",
    configureServer: (server) => void server.middlewares.use("/models", middleware),
    configurePreviewServer: (server) => void server.middlewares.use("/models", middleware),
    async writeBundle(output) {
      if (!output.dir) return;
      for (const [folder, files] of Object.entries(bundled)) {
        const target = join(output.dir, "models", folder);
        await mkdir(target, { recursive: true });
        for (const name of await readdir(join(here, "models", folder))) if (files.test(name)) await cp(join(here, "models", folder, name), join(target, name));
      }
    },
  };
}
