// Text as the reader sees it: what is invisible made visible, numbers in short.
// Everything from a trace reaches the page through textContent, never as markup.

// Tokens that chat templates are made of; they get a dashed frame.
const SPECIAL = /^(<[|｜].*[|｜]>|<\/?s>|<(bos|eos|pad|unk|start_of_turn|end_of_turn)>|\[\/?INST\])$/;

// Controls, zero-width, direction and tag marks would hide or reorder what the model read. Joiners and variation
// selectors shape the characters beside them: they are shown only where a token has nothing else.
const INVISIBLE = /(?![\n\t\u200c\u200d\ufe0e\ufe0f])[\p{Cc}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;
const SHAPING_ONLY = /^[\u200c\u200d\ufe0e\ufe0f]*$/;

// Characters that take two cells of a monospaced line.
const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/g;

// No token is without width: what has none is named, an accent alone gets a place to stand on.
function ftEscape(token) {
  const named = (c) => "⟨U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0") + "⟩";
  if (SHAPING_ONLY.test(token)) return Array.from(token, named).join("") || "⟨⟩";
  return token.replace(INVISIBLE, named).replace(/^\p{Mn}/u, "◌$&");
}

function ftVisible(token) {
  return ftEscape(token).replace(/\n/g, "↵").replace(/\t/g, "⇥").replace(/^ | $/g, "␣");
}

function ftClip(value, length) {
  if (value.length <= length) return value;
  return value.slice(0, length - 1).replace(/[\ud800-\udbff]$/, "") + "…"; // no half of a character
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
