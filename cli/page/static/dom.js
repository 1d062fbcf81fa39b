// Small helpers. Whatever comes from the server becomes text, never HTML.

export function find(id) {
  return document.getElementById(id);
}

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

export function write(element, text) {
  // An element that says the same is left alone: a selection in it stays, and a screen reader is not told again.
  if (element.textContent !== text) element.textContent = text;
}

export function show(element, isShown) {
  if (element.hidden === isShown) element.hidden = !isShown;
}

/** A notice with its sign, or none where there is no text. */
export function notice(element, character, text) {
  if (text && element.dataset.said !== text) {
    element.dataset.said = text;
    element.replaceChildren(sign(character), make("span", "", text));
  }
  if (!text) delete element.dataset.said;
  show(element, Boolean(text));
}

export function setDisabled(button, isDisabled) {
  // Not `disabled`: that would take the focus away from whoever has just pressed it.
  button.setAttribute("aria-disabled", String(isDisabled));
}

export function isDisabled(button) {
  return button.getAttribute("aria-disabled") === "true";
}

const drawn = new WeakMap();

/** Fill an element anew if `value` is another one than the last time. */
export function renew(element, value, build) {
  const key = JSON.stringify(value);
  if (drawn.get(element) === key) return;
  drawn.set(element, key);
  element.replaceChildren(...build());
}
