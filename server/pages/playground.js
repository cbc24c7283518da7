/** The page's start. */

import "./live.js";
import { loadModels } from "./models.js";
import "./pictures.js";

loadModels();
