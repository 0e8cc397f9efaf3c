// Parts of the place to write: what is attached, what is sent next, the prompts to begin with.
export { Attached, bring, MOST_FILES } from "./attached.js";
export { NextList } from "./next.js";
export { PromptMenu, gapIn, nextGap } from "./prompts.js";
