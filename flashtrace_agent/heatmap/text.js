// Text as the reader sees it: what is invisible made visible, numbers in short.
// Everything from a trace reaches the page through textContent, never as markup.

// Tokens that chat templates are made of; they get a dashed frame.
const SPECIAL = /^(<[|｜].*[|｜]>|<\/?s>|<(bos|eos|pad|unk|start_of_turn|end_of_turn)>|\[\/?INST\])$/;

// Controls, zero-width and direction marks would hide or reorder what the model read.
const INVISIBLE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

// Characters that take two cells of a monospaced line.
const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/g;

function ftEscape(token) {
  return token.replace(
    INVISIBLE,
    (c) => "⟨U+" + c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0") + "⟩"
  );
}

function ftVisible(token) {
  return ftEscape(token).replace(/\n/g, "↵").replace(/\t/g, "⇥").replace(/^ | $/g, "␣");
}

function ftClip(value, length) {
  return value.length > length ? value.slice(0, length - 1) + "…" : value;
}

function ftPercent(share) {
  const hundredths = share * 100;
  if (hundredths !== 0 && Math.abs(hundredths) < 0.1) return "<0.1 %";
  return hundredths.toFixed(hundredths >= 99.95 ? 0 : 1) + " %";
}

function ftCount(number, noun) {
  return number.toLocaleString("en") + " " + noun + (number === 1 ? "" : "s");
}

function ftElement(tag, className, parent, content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (content !== undefined) made.textContent = content;
  if (parent) parent.append(made);
  return made;
}
