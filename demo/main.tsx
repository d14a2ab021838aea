// main: mounts the page and starts looking for a GPU. Everything else hangs from app.tsx.

import { render } from "preact";
import { App } from "./app";
import { begin } from "./state/model";
import "./style/base.css";
import "./style/controls.css";
import "./style/model-bar.css";
import "./style/composer.css";
import "./style/choices.css";
import "./style/panes.css";
import "./style/map.css";

const page = document.getElementById("page");
if (!page) throw new Error("index.html has no element with id page.");
render(<App />, page);
void begin();
