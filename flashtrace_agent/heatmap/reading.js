// What the data says about what is chosen at the moment. `data` may hold, beside what
// flashtrace_agent.html.viewer_data returns, `parts` and `influence` of targets it has no scores for.

function ftReading(data, state) {
  const attribution = () => data.attributions[state.attribution];
  const sequence = () => data.sequences[attribution().sequence];

  function tiles() {
    const { tokens, segments } = sequence();
    return segments.length ? segments : [["", 0, tokens.length, null]];
  }

  function tileAt(position) {
    const list = tiles();
    let low = 0;
    let high = list.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (list[middle][1] <= position) low = middle;
      else high = middle - 1;
    }
    return list[low];
  }

  // Where the completion begins; without segments, no later than what is known to be in it.
  function written() {
    const tile = tiles().find((item) => item[3] === -1);
    if (tile) return tile[1];
    return Math.min(...[...attribution().target, ...attribution().through].map(([start]) => start));
  }

  // True where nothing is explained yet: there are tokens to choose from, and no scores.
  function isBlank() {
    return !attribution().target.length;
  }

  // What of the completion has a name: [{name, spans}].
  function parts() {
    if (data.parts) return data.parts;
    const same = data.attributions.filter((item) => item.sequence === attribution().sequence);
    return same.map((item) => ({ name: item.name, spans: item.target }));
  }

  // The targets known, each with the shares of the segments it drew on.
  function influence() {
    if (data.influence) return data.influence;
    return data.attributions.map((item, index) => ({
      index,
      name: item.name,
      text: item.text,
      shown: index === state.attribution,
      shares: Object.fromEntries(item.views[0].segments.map(([name, share]) => [name, share])),
    }));
  }

  return {
    data,
    state,
    attribution,
    sequence,
    view: () => attribution().views[state.view],
    tiles,
    tileAt,
    segmentAt: (position) => tileAt(position)[0],
    written,
    isBlank,
    parts,
    influence,
  };
}
