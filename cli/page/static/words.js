// The sentences of the page, which come from the server, and how numbers, money and moments are written in its language.

const PLACEHOLDER = /\{(\w+)\}/g;
const DAY = 86_400_000;

export class Words {
  #texts;
  #formats;

  /** `language` is a code such as "ru", `texts` the sentences by their keys. */
  constructor(language, texts) {
    this.language = language;
    this.#texts = texts;
    const number = (options) => new Intl.NumberFormat(language, options);
    // In English days are written as in the terminal, 2026-11-26, which is how Swedes write them: no month is mistaken.
    const days = language === "en" ? "sv" : language;
    const moment = (options) => new Intl.DateTimeFormat(days, { hourCycle: "h23", ...options });
    const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
    this.#formats = {
      count: number({ maximumFractionDigits: 0 }),
      rate: number({ maximumFractionDigits: 1, minimumFractionDigits: 1 }),
      percent: number({ style: "percent", maximumFractionDigits: 1 }),
      // Russians write the sign of the rouble behind an amount; the English of this program writes none.
      money: number({
        ...(language === "ru" ? { style: "currency", currency: "RUB" } : {}),
        minimumFractionDigits: 2,
        maximumFractionDigits: 10,
      }),
      milliseconds: number({ style: "unit", unit: "millisecond", maximumFractionDigits: 0 }),
      seconds: number({ style: "unit", unit: "second", maximumFractionDigits: 1 }),
      clock: moment(clock),
      minute: moment({ hour: "2-digit", minute: "2-digit" }),
      moment: moment({ year: "numeric", month: "2-digit", day: "2-digit", ...clock }),
      list: new Intl.ListFormat(language, { type: "unit", style: "short" }),
    };
  }

  /** The sentence of that key, its {names} filled in. */
  text(key, values = {}) {
    const template = this.#texts[key] ?? key;
    return template.replace(PLACEHOLDER, (whole, name) => (name in values ? String(values[name]) : whole));
  }

  has(key) {
    return key in this.#texts;
  }

  count(number) {
    return this.#formats.count.format(number);
  }

  rate(number) {
    return this.#formats.rate.format(number);
  }

  /** An amount in roubles, given as decimal text: Intl reads all its digits, a JavaScript number would not hold them. */
  money(amount) {
    return this.#formats.money.format(amount);
  }

  /** A share, rounded down: 100 % is said when nothing is left. */
  percent(part, whole) {
    return this.#formats.percent.format(whole ? Math.floor((part / whole) * 1000) / 1000 : 0);
  }

  latency(seconds) {
    if (seconds === null || seconds === undefined) return "–";
    return seconds < 1 ? this.#formats.milliseconds.format(seconds * 1000) : this.#formats.seconds.format(seconds);
  }

  /** A span as the terminal writes it: 0:07, 12:30, 3:05:00. */
  duration(seconds) {
    const whole = Math.max(0, Math.round(seconds));
    const two = (number) => String(number).padStart(2, "0");
    const hours = Math.floor(whole / 3600);
    const minutes = Math.floor((whole % 3600) / 60);
    return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
  }

  /** A moment of the last hours by its time, an older one with its day. */
  moment(when) {
    const date = asDate(when);
    if (date === null) return "–";
    const recent = Math.abs(Date.now() - date) < DAY / 2;
    return (recent ? this.#formats.clock : this.#formats.moment).format(date);
  }

  fullMoment(when) {
    const date = asDate(when);
    return date === null ? "–" : this.#formats.moment.format(date);
  }

  /** Hours and minutes of a moment in Unix seconds, for an axis. */
  minute(seconds) {
    return this.#formats.minute.format(seconds * 1000);
  }

  clock(seconds) {
    return this.#formats.clock.format(seconds * 1000);
  }

  /** Short texts as one line. */
  joined(parts) {
    return this.#formats.list.format(parts);
  }
}

/** A moment of the server: Unix seconds or ISO 8601; null for none. */
export function asDate(when) {
  if (when === null || when === undefined || when === "") return null;
  const date = new Date(typeof when === "number" ? when * 1000 : when);
  return Number.isNaN(date.valueOf()) ? null : date;
}
