// Requests to the server of the page. Each answer is JSON, or a sentence why there is none.

const LONGEST = 600; // characters of a foreign sentence

export class Refused extends Error {}

/** The JSON of an address. Raises `Refused` with the server's sentence, and `TypeError` where there is no server. */
export async function ask(address) {
  const answer = await fetch(address, { cache: "no-store" });
  if (!answer.ok) throw new Refused(await answerText(answer));
  return answer.json();
}

/** Give a run a command; {said, refused} as the server answers. */
export async function command(run, language, name, values = {}) {
  const answer = await fetch(`/api/runs/${encodeURIComponent(run)}/commands?lang=${language}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ command: name, arguments: values }),
  });
  if (answer.ok) return answer.json();
  return { said: await answerText(answer), refused: true };
}

/** The sentence of an answer that is an error. */
export async function answerText(answer) {
  const text = await answer.text();
  let said = text;
  if ((answer.headers.get("Content-Type") ?? "").includes("json")) {
    try {
      said = JSON.parse(text).said ?? text;
    } catch {
      said = text;
    }
  }
  return (said.trim() || `HTTP ${answer.status}`).slice(0, LONGEST);
}
