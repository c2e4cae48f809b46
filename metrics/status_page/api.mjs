// The broker's HTTP API. Relative addresses, so that the page also works below a path of a proxy.

const ANSWER_MS_MAX = 5_000;

// Rejects with an Error for people.
export async function ask(path, signal) {
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(), ANSWER_MS_MAX);
  const give_up = () => timeout.abort();
  signal.addEventListener("abort", give_up);
  try {
    const response = await fetch(path, {cache: "no-store", credentials: "same-origin", signal: timeout.signal});
    if (!response.ok) throw new Error(`it answered ${response.status}${await failureText(response)}`);
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw new Error(`nothing came for ${ANSWER_MS_MAX / 1000} s`);
    if (error instanceof TypeError) throw new Error("it cannot be reached");
    if (error instanceof SyntaxError) throw new Error("its answer is no JSON");
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", give_up);
  }
}

async function failureText(response) {
  try {
    const {error} = await response.json();
    return error ? `: ${error}` : "";
  } catch {
    return "";
  }
}

export const BROKER_PATH = "api/broker";
export const EPISODES_PATH = "api/episodes";
export const TOPICS_PATH = "api/topics";

export function consumersPath({sort, limit, topic}) {
  // A name may have half of a character, which would not be encoded.
  const ofTopic = topic === "" ? "" : `&topic=${encodeURIComponent(topic.toWellFormed?.() ?? topic)}`;
  return `api/consumers?sort=${sort}&limit=${limit}${ofTopic}`;
}
