// Past episodes on a common line of time, a lane for each consumer. Pure: where everything goes, in shares of the
// width.

const SPANS_SECONDS = [5 * 60, 15 * 60, 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600];
const LANES_MAX = 10;
// What is shorter is still seen.
const WIDTH_MIN = 0.004;

const laneKey = (episode) => JSON.stringify([episode.client_name, episode.filter]);

// `episodes` as the API has them, the newest first; `now` in ms. `lanes`: [{episode, bars: [{episode, from, width}]}],
// where the lane's own episode is its newest.
export function layOut(episodes, now) {
  const ago = (episode) => Math.max(0, (now - Date.parse(episode.began)) / 1000);
  const oldest = episodes.reduce((most, episode) => Math.max(most, ago(episode)), 0);
  const span = SPANS_SECONDS.find((seconds) => seconds >= oldest) ?? SPANS_SECONDS.at(-1);
  const lanes = new Map();
  for (const episode of episodes) {
    const key = laneKey(episode);
    if (!lanes.has(key)) lanes.set(key, {episode, bars: []});
    const begin = ago(episode);
    const end = episode.outcome === "going_on" ? 0 : Math.max(0, begin - episode.duration_seconds);
    if (end > span) continue;
    const from = Math.max(0, 1 - begin / span);
    const width = Math.max(WIDTH_MIN, 1 - end / span - from);
    lanes.get(key).bars.push({episode, from: Math.min(from, 1 - WIDTH_MIN), width});
  }
  const all = [...lanes.values()];
  return {spanSeconds: span, lanes: all.slice(0, LANES_MAX), lanesLeftOut: Math.max(0, all.length - LANES_MAX)};
}
