export { Words } from "./words.js";
export { Confirm } from "./confirm.js";
export { LANES, LEVELS, laneOf, levelOf } from "./levels.js";
