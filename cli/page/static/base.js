// What all of the page is made with: elements, requests to its server, its words. What a server says becomes text, never HTML.

const LONGEST = 600; // characters of a foreign sentence
const PLACEHOLDER = /\{(\w+)\}/g;
const DAY = 86_400_000;

/** Marks a text that is said elsewhere: the server finds the texts of the page by `said` and `text`. */
export const said = (text) => text;

export const find = (id) => document.getElementById(id);

/** An element with its classes and its content: texts and other elements. */
export function make(tag, className = "", ...content) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...content);
  return element;
}

/** A sign that a screen reader leaves out: the word beside it says the same. */
export function sign(character) {
  const element = make("span", "sign", character);
  element.setAttribute("aria-hidden", "true");
  return element;
}

export function show(element, isShown) {
  if (element.hidden === isShown) element.hidden = !isShown;
}

/** Write texts into the elements of these ids; one without a text is hidden. */
export function fill(texts) {
  for (const [id, text] of Object.entries(texts)) {
    const element = find(id);
    // An element that says the same is left alone: a selection in it stays, and a screen reader is not told again.
    if (element.textContent !== (text ?? "")) element.textContent = text ?? "";
    show(element, text !== null);
  }
}

const drawn = new WeakMap();

/** Fill an element anew if `value` is another one than the last time. */
export function renew(element, value, build) {
  const key = JSON.stringify(value);
  if (drawn.get(element) === key) return;
  drawn.set(element, key);
  element.replaceChildren(...build());
}

/** A text and a smaller one below it, which may be missing. */
export function two(first, second) {
  return [make("span", "first", first ?? "–"), ...(second ? [make("span", "second", second)] : [])];
}

/** A row of cells, each by its title with its style and its content: on a telephone the table has no head. */
export function titledRow(cells, words) {
  return make("tr", "", ...Object.entries(cells).map(([title, [style, ...content]]) => {
    const cell = make("td", style, ...content);
    cell.dataset.label = words.text(title);
    return cell;
  }));
}

/** A moment as the reader writes it. */
export function timeOf(when, words) {
  const time = make("time", "figure", words.moment(when));
  time.dateTime = asDate(when)?.toISOString() ?? "";
  return time;
}

/** A notice with its sign, or none where there is no text. */
export function notice(id, character, text) {
  renew(find(id), text || "", () => (text ? [sign(character), make("span", "", text)] : []));
  show(find(id), Boolean(text));
}

/** The JSON of an address. Raises `Error` with the server's sentence, and `TypeError` where there is no server. */
export async function ask(address, options = {}) {
  const answer = await fetch(address, { cache: "no-store", ...options });
  if (!answer.ok) throw new Error((await toldBy(answer)).said);
  return answer.json();
}

/** What an answer tells: its sentence, also of an error, and when the run was told something last. */
export async function toldBy(answer) {
  const text = await answer.text();
  let found = {};
  try {
    found = JSON.parse(text);
  } catch {
    // It is the sentence itself.
  }
  return { at: found.at, said: (found.said ?? (text.trim() || `HTTP ${answer.status}`)).slice(0, LONGEST) };
}

/** A moment of the server: Unix seconds or ISO 8601; null for none. */
export function asDate(when) {
  if (when === null || when === undefined || when === "") return null;
  const date = new Date(typeof when === "number" ? when * 1000 : when);
  return Number.isNaN(date.valueOf()) ? null : date;
}

/** The texts of the page by their English, and how numbers, money and moments are written in its language. */
export function wordsOf(language, texts) {
  // English thousands are separated as in the terminal, and as in what the server writes.
  const number = (options) => {
    const { format } = new Intl.NumberFormat(language, options);
    return language === "en" ? (value) => format(value).replaceAll(",", "\u00a0") : format;
  };
  // In English days are written as in the terminal, 2026-11-26, which is how Swedes write them: no month is mistaken.
  const days = language === "en" ? "sv" : language;
  const moment = (options) => new Intl.DateTimeFormat(days, { hourCycle: "h23", ...options }).format;
  const time = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
  const [clock, minute] = [moment(time), moment({ hour: "2-digit", minute: "2-digit" })];
  const whole = moment({ year: "numeric", month: "2-digit", day: "2-digit", ...time });
  const day = moment({ month: "2-digit", day: "2-digit" });
  const signed = (format) => (amount) => format(amount).replace("-", "−"); // the minus of all else
  const percent = number({ style: "percent", maximumFractionDigits: 1 });
  const milliseconds = number({ style: "unit", unit: "millisecond", maximumFractionDigits: 0 });
  const seconds = number({ style: "unit", unit: "second", maximumFractionDigits: 1 });
  const list = new Intl.ListFormat(language, { type: "unit", style: "short" });
  const two = (digits) => String(digits).padStart(2, "0");
  const dated = (when, format) => (asDate(when) === null ? "–" : format(asDate(when)));
  return {
    language,
    text: (key, values = {}) => (texts[key] ?? key).replace(PLACEHOLDER, (all, name) => String(values[name] ?? all)),
    count: number({ maximumFractionDigits: 0 }),
    rate: number({ maximumFractionDigits: 1, minimumFractionDigits: 1 }),
    compact: number({ notation: "compact", maximumFractionDigits: 1 }),
    // An amount is decimal text: Intl reads all its digits, a JavaScript number would not hold them. Russians write the
    // sign of the rouble behind it; the English of this program writes none.
    money: signed(number({
      ...(language === "ru" ? { style: "currency", currency: "RUB" } : {}),
      minimumFractionDigits: 2,
      maximumFractionDigits: 10,
    })),
    // A share, rounded down: 100 % is said when nothing is left.
    percent: (part, of) => percent(of ? Math.floor((part / of) * 1000) / 1000 : 0),
    latency: (value) => (value === null ? "–" : value < 1 ? milliseconds(value * 1000) : seconds(value)),
    // A span as the terminal writes it: 0:07, 12:30, 3:05:00.
    duration: (span) => {
      const all = Math.max(0, Math.round(span));
      const [hours, minutes] = [Math.floor(all / 3600), Math.floor((all % 3600) / 60)];
      return hours ? `${hours}:${two(minutes)}:${two(all % 60)}` : `${minutes}:${two(all % 60)}`;
    },
    // A moment of the last hours by its time, an older one with its day.
    moment: (when) => dated(when, Math.abs(Date.now() - asDate(when)) < DAY / 2 ? clock : whole),
    fullMoment: (when) => dated(when, whole),
    day: (when) => day(when * 1000),
    minute: (when) => minute(when * 1000),
    clock: (when) => clock(when * 1000),
    joined: (parts) => list.format(parts),
  };
}
