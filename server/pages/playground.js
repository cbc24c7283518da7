/** The page's start. */

import "./live.js";
import { loadModels } from "./models.js";
import "./pictures.js";

loadModels();
if (document.documentElement.dataset.debug) import("./batches.js");
