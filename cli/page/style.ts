/** How a page looks, in light and dark. */

/** Ten tones that can be told apart, by colour-blind readers too, in both themes. */
const lightTones = ['#4c78a8', '#e4873a', '#54a24b', '#c1447e', '#7a6fc0', '#3aa6a0', '#b79a20', '#9d6b53', '#7d8794', '#d0504c']; // prettier-ignore
const darkTones = ['#7aa6d8', '#f0a15c', '#7fcb76', '#e47fab', '#a79cf0', '#64cbc4', '#dcc04f', '#c69a80', '#9aa4b2', '#f0827e']; // prettier-ignore

const lightColours = { back: '#f6f7f9', card: '#ffffff', line: '#dde1e7', text: '#1c2330', muted: '#667085', accent: '#2f6fb5', code: '#f2f4f7', added: '#dcf3df', removed: '#fbe0df' }; // prettier-ignore
const light = theme(lightColours, lightTones);
const dark = theme(
  { back: '#14171c', card: '#1c2027', line: '#313844', text: '#e3e7ee', muted: '#98a2b3', accent: '#7db1ee', code: '#161a20', added: '#1d3a26', removed: '#45232a' }, // prettier-ignore
  darkTones,
);

function theme(colours: Readonly<Record<string, string>>, tones: readonly string[]): string {
  const named = Object.entries(colours).map(([name, value]) => `--${name}:${value}`);
  return [...named, ...tones.map((value, at) => `--tone${at}:${value}`)].join(';');
}

const toneRules = lightTones
  .map((_, at) => `.tone${at}{background:var(--tone${at})}svg .tone${at}{fill:var(--tone${at})}`)
  .join('\n');

const svgRules = `svg{display:block;width:100%;height:auto}
svg text{fill:var(--muted);font:11px system-ui,'DejaVu Sans',sans-serif}
svg text.on{fill:#fff;pointer-events:none}
svg .axis{stroke:var(--line)}svg .bound{stroke:var(--tone9);stroke-dasharray:5 4;fill:none}svg .live{stroke:var(--accent);fill:var(--accent);fill-opacity:.14}
svg .span{stroke:var(--card);stroke-width:.6}svg .span:hover{stroke:var(--text);stroke-width:1.5}
svg .shade{fill:var(--accent);opacity:.06}`;

/** Of figures that stand in files of their own. */
export const figureStyle = `${svgRules}
svg .paper{fill:var(--card)}svg .title{font-weight:600;fill:var(--text)}
${toneRules}`;

/** The light theme's colours in place of their names: some viewers of SVG know no variables. */
export function withLightColours(text: string): string {
  const values = new Map([
    ...Object.entries(lightColours),
    ...lightTones.map((value, at): [string, string] => [`tone${at}`, value]),
  ]);
  return text.replaceAll(/var\(--(\w+)\)/g, (whole, name: string) => values.get(name) ?? whole);
}

export const pageStyle = `
:root{${light};color-scheme:light}
@media (prefers-color-scheme:dark){:root{${dark};color-scheme:dark}}
:root[data-theme=light]{${light};color-scheme:light}
:root[data-theme=dark]{${dark};color-scheme:dark}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1440px;padding:0 24px 48px;background:var(--back);color:var(--text);font:14px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}
header{display:flex;justify-content:space-between;align-items:center;padding:20px 0 12px}
h1{font-size:22px;margin:0}h2{font-size:16px;margin:28px 0 10px}h3{font-size:14px;margin:18px 0 8px}
p{margin:4px 0}
.muted{color:var(--muted)}
button{font:inherit;color:inherit;background:none;border:1px solid transparent;border-radius:6px;padding:4px 12px;cursor:pointer}
#theme{border-color:var(--line);font-size:16px;padding:2px 10px}
.tabs.main>nav{position:sticky;top:0;z-index:2;background:var(--back);border-bottom:1px solid var(--line);padding:6px 0;margin-bottom:12px}
.tabs>nav{display:flex;flex-wrap:wrap;gap:4px}
.tabs.main>nav button{font-weight:600}
.tabs.sub>nav{margin-bottom:4px}
.tabs>nav button:hover{background:var(--line)}
.tabs.main>nav button.on{background:var(--accent);color:var(--card)}
.tabs.sub>nav button.on,.tabs.text>nav button.on{border-color:var(--accent);color:var(--accent)}
[hidden]{display:none!important}
.card,.figure,.scroll,.block,.chart{background:var(--card);border:1px solid var(--line);border-radius:10px}
.card{padding:12px 16px;margin:10px 0}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(200px,1fr));gap:10px;margin:12px 0}
.figure{padding:10px 14px;display:flex;flex-direction:column}
.figure span,.figure small{color:var(--muted);font-size:12px}
.figure small{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.figure b{font-size:20px;font-weight:650;font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:6px 12px;text-align:left;border-bottom:1px solid var(--line);white-space:nowrap;vertical-align:top}
tbody tr:last-child td{border-bottom:none}
th{color:var(--muted);font-weight:600;font-size:12px;cursor:pointer;user-select:none}
th[data-order=falling]::after{content:' ▾'}th[data-order=rising]::after{content:' ▴'}
.number{text-align:right}
td:last-child{white-space:normal;min-width:190px;overflow-wrap:anywhere}
td code.wrap{white-space:normal;overflow-wrap:anywhere}
.chart h3{margin:0 0 8px}
tr.opens{cursor:pointer}tr.opens:hover,tr.open{background:var(--code)}
tr.opens td:first-child::before{content:'▸ ';color:var(--muted)}tr.open td:first-child::before{content:'▾ '}
tr.more>td{background:var(--code);white-space:normal;max-width:0}
code,pre,.op{font:12px/1.55 ui-monospace,'SF Mono',Menlo,Consolas,'DejaVu Sans Mono',monospace}
pre{margin:6px 0;padding:10px 12px;background:var(--code);border:1px solid var(--line);border-radius:8px;overflow:auto;max-height:70vh}
details.block{margin:6px 0}
details.block>summary{padding:8px 14px;cursor:pointer;display:flex;flex-wrap:wrap;gap:4px 14px;align-items:baseline}
details.block>summary::before{content:'▸';color:var(--muted)}details.block[open]>summary::before{content:'▾'}
details.block>summary::-webkit-details-marker{display:none}
details.block>:not(summary){margin-left:14px;margin-right:14px}
details.block>:last-child{margin-bottom:12px}
details.loop{border-left:4px solid var(--accent)}
.flow{font-size:12px;color:var(--muted);margin-left:auto}
.op{padding:5px 8px;border-left:3px solid var(--line);margin:3px 0;overflow-wrap:anywhere}
.op .kind{font-weight:700}
.op.plain{opacity:.75}
.op .inner{color:var(--text);padding-left:18px}
.op .type{color:var(--muted)}
.op.contraction{border-color:var(--tone0)}.op.attention{border-color:var(--tone3)}.op.row{border-color:var(--tone2)}.op.map{border-color:var(--tone1)}.op.statistics{border-color:var(--tone4)}.op.host{border-color:var(--tone6)}
.value{color:var(--accent)}.weight{color:var(--tone1)}
.diff{white-space:pre;overflow:auto;padding:0;max-height:75vh}
.diff span{display:block;padding:0 12px;min-width:max-content}
.diff .added{background:var(--added)}.diff .removed{background:var(--removed)}.diff .at{color:var(--muted);background:var(--line);margin-top:8px}
.shares{margin:10px 0}.shares .bar{display:flex;height:22px;border-radius:6px;overflow:hidden;background:var(--line)}
.shares ul{list-style:none;display:flex;flex-wrap:wrap;gap:4px 22px;padding:0;margin:8px 0}
.shares li i{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:6px}
.chart{padding:12px 14px;margin:10px 0;overflow-x:auto}
${svgRules}
.better{color:var(--tone2)}.worse{color:var(--tone9)}
${toneRules}
#tip{position:fixed;z-index:9;pointer-events:none;background:var(--text);color:var(--back);padding:6px 10px;border-radius:6px;font-size:12px;white-space:pre-line;max-width:520px;overflow-wrap:anywhere}
footer{margin-top:32px;font-size:12px}
`;
