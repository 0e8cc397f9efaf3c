// What the charts and tables of the analytics pages share: numbers and times in the page's language, files to keep.
export { watchSeen } from "./seen.js";
export { options, PALETTE } from "./forms.js";
export { rowsOf } from "./rows.js";
export { csv, figuresCsv, save, savePicture } from "./files.js";
export { amount, colour, moment, weekday } from "./words.js";
