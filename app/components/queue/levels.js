// Priorities 0–15 in four lanes; what a job gets that is put into one.
export const LANES = [
  { lane: "real", name: "realtime", value: 15, level: "p-real" },
  { lane: "high", name: "high", value: 10, level: "p-high" },
  { lane: "normal", name: "normal", value: 5, level: "p-normal" },
  { lane: "low", name: "low", value: 1, level: "p-low" },
];
export const LEVELS = [...LANES].reverse().map(({ value, name }) => [value, name]);

export function laneOf(priority) {
  return LANES[priority < 4 ? 3 : priority < 8 ? 2 : priority < 13 ? 1 : 0];
}

export function levelOf(priority) {
  return laneOf(priority).level;
}
