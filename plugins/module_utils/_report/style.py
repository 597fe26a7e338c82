# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report's style sheet: system fonts, light and dark, screen and paper.

The colours are Okabe and Ito's, which people of every colour vision can tell apart; nothing is told by colour alone.
"""

from __future__ import annotations

CSS = """
:root {
  color-scheme: light dark;
  --page: #fbfaf8; --card: #ffffff; --ink: #1c1e21; --muted: #5b6068; --line: #e2dfd9; --grid: #ece9e4; --chip: #f3f1ed;
  --good: #00694d; --bad: #a33c00; --wait: #6b5200; --link: #005a94;
  --old: #b86e00; --new: #0072b2; --pause: #cc79a7; --lost: #d55e00; --inside: #ffffff;
  --good-soft: #e4f3ee; --bad-soft: #fbe9df; --wait-soft: #f8f0d8; --rule: rgba(28, 30, 33, .16); --code: rgba(28, 30, 33, .07);
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #131518; --card: #1a1d21; --ink: #e8e9eb; --muted: #a4aab3; --line: #30353b; --grid: #282c32; --chip: #23272c;
    --good: #5fd0ab; --bad: #ff9d66; --wait: #ebc65b; --link: #7cc4f2;
    --old: #e69f00; --new: #56b4e9; --pause: #d992b8; --lost: #ff8a3d; --inside: #101215;
    --good-soft: #14291f; --bad-soft: #33200f; --wait-soft: #2c2510;
    --rule: rgba(232, 233, 235, .18); --code: rgba(232, 233, 235, .1);
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans",
  "Liberation Sans", sans-serif; font-variant-numeric: tabular-nums; overflow-wrap: break-word; }
.wrap { max-width: 940px; margin: 0 auto; padding: 0 40px; }
a { color: var(--link); text-underline-offset: 3px; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; border-radius: 2px; }
.skip { position: absolute; left: -999px; }
.skip:focus { left: 8px; top: 8px; background: var(--card); padding: 8px 12px; }
header { padding: 40px 0 8px; }
.eyebrow { margin: 0 0 14px; color: var(--muted); font-size: 14px; }
h1 { margin: 0; font-size: 38px; line-height: 1.15; letter-spacing: -0.02em; font-weight: 650; display: flex; gap: 16px; align-items: flex-start; }
h1 svg { width: 38px; height: 38px; flex: none; margin-top: .08em; }
.good h1 svg { color: var(--good); } .bad h1 svg { color: var(--bad); } .wait h1 svg, .back h1 svg { color: var(--wait); }
.happened { font-size: 19px; line-height: 1.5; margin: 16px 0 0; max-width: 44em; }
.now { margin: 22px 0 0; padding: 16px 20px; border-radius: 10px; background: var(--good-soft); }
.bad .now { background: var(--bad-soft); } .wait .now, .back .now { background: var(--wait-soft); }
.now h2 { margin: 0 0 4px; font-size: 14px; font-weight: 650; letter-spacing: 0; color: var(--muted); }
.now ul { margin: 0; padding: 0; list-style: none; }
.now li + li { margin-top: 2px; }
.now li:first-child { font-weight: 600; }
.now li.doubt { color: var(--bad); }
.commands { margin: 14px 0 0; padding-top: 12px; border-top: 1px solid var(--rule); font-size: 15px; }
.commands dt { color: var(--muted); font-size: 14px; } .commands dd { margin: 0 0 6px; }
.commands dd:last-child { margin-bottom: 0; }
.figures { display: grid; grid-template-columns: repeat(4, 1fr); gap: 1px; margin: 28px 0 0; padding: 0; background: var(--line);
  border: 1px solid var(--line); border-radius: 10px; overflow: hidden; }
.figures div { background: var(--card); padding: 14px 18px 16px; display: flex; flex-direction: column-reverse; justify-content: flex-end; }
.figures dt { color: var(--muted); font-size: 14px; line-height: 1.35; }
.figures dd { margin: 0; font-size: 26px; line-height: 1.25; font-weight: 600; letter-spacing: -0.01em; }
.figures dd.none { color: var(--muted); font-size: 17px; line-height: 32px; font-weight: 500; letter-spacing: 0; }
nav { margin: 28px 0 0; border-bottom: 1px solid var(--line); padding-bottom: 12px; font-size: 15px; }
nav ul { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 0; padding: 0; list-style: none; }
section { padding: 36px 0 0; }
h2 { margin: 0 0 6px; font-size: 23px; letter-spacing: -0.01em; font-weight: 650; }
h3 { margin: 28px 0 4px; font-size: 16px; font-weight: 650; }
section > p { margin: 0 0 14px; color: var(--muted); max-width: 46em; }
figure { margin: 14px 0 0; padding: 20px 20px 12px; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
figcaption { color: var(--muted); font-size: 14px; margin-top: 4px; }
.chart { display: block; width: 100%; height: auto; overflow: visible; }
.narrow { display: none; }
.t { font-size: 12px; fill: var(--ink); } .t.muted { fill: var(--muted); } .t.inside { fill: var(--inside); font-weight: 600; }
.grid { stroke: var(--grid); stroke-width: 1; }
.phase { fill: var(--muted); opacity: .55; } .phase.failed { fill: var(--lost); opacity: 1; } .phase.rolled_back { fill: var(--wait); }
.phase.started { fill: var(--wait); opacity: .8; }
.pause { fill: var(--pause); } .pause.band { opacity: .35; }
.led.old { fill: var(--old); } .led.new { fill: var(--new); } .led.odd { opacity: .78; }
.leaderless { fill: var(--card); stroke: var(--lost); stroke-width: 1.5; stroke-dasharray: 3 2; }
.lost, .alert { fill: var(--lost); }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round; } .hair { fill: none; stroke-width: 1; opacity: .28; }
.line.a, .hair.a { stroke: var(--old); } .line.b, .hair.b { stroke: var(--new); } .line.b { stroke-dasharray: 5 2; }
.cross { stroke: var(--lost); stroke-width: 1.8; fill: none; }
table { width: 100%; border-collapse: collapse; margin: 14px 0 0; font-size: 15px; }
caption { text-align: left; font-weight: 650; padding: 0 0 6px; font-size: 16px; }
th, td { text-align: left; padding: 7px 16px 7px 0; border-bottom: 1px solid var(--line); vertical-align: top; font-weight: 400; }
th:last-child, td:last-child { padding-right: 0; }
thead th { color: var(--muted); font-size: 14px; border-bottom-color: var(--muted); }
tbody th { font-weight: 500; min-width: 5.5em; }
.num { text-align: right; }
code, .mono { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace;
  font-size: .88em; overflow-wrap: anywhere; }
dd code { background: var(--code); padding: 3px 8px; border-radius: 5px; display: inline-block; }
.state { white-space: nowrap; } .state.ok { color: var(--good); } .state.no { color: var(--bad); font-weight: 600; }
.state.dim { color: var(--muted); }
.empty { color: var(--muted); margin: 8px 0 0; }
.pairs { display: grid; grid-template-columns: max-content 1fr; gap: 4px 24px; margin: 10px 0 0; font-size: 15px; }
.pairs dt { color: var(--muted); } .pairs dd { margin: 0; min-width: 0; }
footer { margin: 48px 0 0; padding: 18px 0 40px; border-top: 1px solid var(--line); color: var(--muted); font-size: 14px; }
@media screen and (max-width: 720px) {
  .wrap { padding: 0 20px; }
  header { padding-top: 26px; }
  h1 { font-size: 29px; gap: 12px; } h1 svg { width: 29px; height: 29px; }
  .happened { font-size: 17px; }
  .figures { grid-template-columns: repeat(2, 1fr); }
  .figures dd { font-size: 22px; }
  .wide { display: none; } .narrow { display: block; }
  figure { padding: 14px 14px 10px; }
  table, tbody, tr, td, th, caption { display: block; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tbody tr { padding: 9px 0; border-bottom: 1px solid var(--line); }
  th, td { border: 0; padding: 1px 0; }
  tbody th { font-weight: 600; }
  td { display: grid; grid-template-columns: 9.5em 1fr; gap: 12px; text-align: left; }
  td::before { content: attr(data-label); color: var(--muted); }
  td:empty { display: none; }
  td > * { min-width: 0; }
  .num { text-align: left; }
  .pairs { grid-template-columns: 1fr; gap: 0; } .pairs dd { margin-bottom: 8px; }
}
@media print {
  :root { color-scheme: light; --page: #fff; --card: #fff; --ink: #000; --muted: #444; --line: #bbb; --grid: #e5e5e5; --good: #00513b; --bad: #8a3300;
    --wait: #574200; --link: #000; --old: #b86e00; --new: #0072b2; --inside: #fff; --good-soft: #fff; --bad-soft: #fff; --wait-soft: #fff;
    --rule: #bbb; --code: #f2f2f2; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { font-size: 10.5pt; } h1 { font-size: 22pt; } .figures dd { font-size: 15pt; }
  table { font-size: 9.5pt; } th, td { padding-right: 10px; }
  .wrap { max-width: none; padding: 0; }
  header { padding-top: 0; } nav, .skip { display: none; }
  .now { border: 1px solid var(--line); }
  figure, tr, .figures, .now { break-inside: avoid; } h2, h3, caption { break-after: avoid; }
  section { padding-top: 22px; }
  @page { margin: 16mm; }
}
"""
