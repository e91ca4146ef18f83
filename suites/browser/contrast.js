// How many texts were looked at, and those whose contrast with what is behind them is under 4.5.
() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const ground = (element) => {
    const stack = [];
    for (let e = element; e; e = e.parentElement) stack.push(rgba(getComputedStyle(e).backgroundColor));
    const paper = rgba(getComputedStyle(document.body).backgroundColor);
    return stack.reverse().reduce((below, top) => over(top, below), paper);
  };
  const light = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const poor = [], told = (e, ratio) => `${e.tagName} ${e.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`;
  let looked = 0;
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.getClientRects().length || e.tagName === 'SCRIPT' || e.closest('option')) continue;
    const svg = e.closest('svg'), style = getComputedStyle(e);
    const ink = rgba(svg ? style.fill : style.color);
    if (svg) ink[3] *= Number(style.fillOpacity);
    const behind = ground(svg ? svg.parentElement : e), drawn = over(ink, behind);
    const [a, b] = [light(drawn), light(behind)].sort((x, y) => y - x);
    looked += 1;
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) poor.push(told(e, ratio));
  }
  return [looked, poor];
}
