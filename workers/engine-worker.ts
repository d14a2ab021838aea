// engine-worker: the worker's entry. Puts the engine behind comlink; nothing else happens in this thread.

import { expose } from "comlink";
import { load } from "../src/engine";
import { createHost } from "./engine-host";

expose(createHost((request) => load(request)));
