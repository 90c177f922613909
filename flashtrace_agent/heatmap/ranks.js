// What the scores of a view say about each token and each segment.
//
// Returns {
//   ranking: positions of the tokens with a score, strongest first,
//   rankOf(position): 1 for the strongest; 0 for those without a score,
//   strongest: the highest score,
//   shares: Map from a segment's name to its share of the view,
//   heat(position, power): 0 to 1, score / strongest score raised to a power
// }

function ftRanks({ scores, segments }) {
  const ranking = [];
  for (let i = 0; i < scores.length; i++) if (scores[i] > 0) ranking.push(i);
  ranking.sort((a, b) => scores[b] - scores[a] || a - b);
  const rank = new Int32Array(scores.length);
  ranking.forEach((position, index) => (rank[position] = index + 1));
  const strongest = ranking.length ? scores[ranking[0]] : 1;
  return {
    ranking,
    rankOf: (position) => rank[position],
    strongest,
    shares: new Map(segments.map(([name, share]) => [name, share])),
    heat: (position, power) => (scores[position] > 0 ? Math.pow(scores[position] / strongest, power) : 0),
  };
}
