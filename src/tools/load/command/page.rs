//! What every page has: its head, its style. Well-formed XML at the same time, so that any parser can check it.

/// What comes before the title.
pub const BEGIN: &str = r#"<!DOCTYPE html>
<html lang="en" xmlns="http://www.w3.org/1999/xhtml">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
"#;

/// Colours that hold on paper and in the dark.
pub const STYLE: &str = "<style>
:root { color-scheme: light dark; --ink: #222; --dim: #777; --grid: #ddd; --paper: #fff; --one: #1668b8; --two: #c2410c;
  --three: #7c3aed; --bad: #b91c1c; }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --dim: #999; --grid: #444; --paper: #181818; --one: #6db3f2;
  --two: #fb923c; --three: #c4b5fd; --bad: #f87171; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 900px;
  margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.3em; overflow-wrap: anywhere; } h2 { font-size: 1.05em; margin-top: 2em; }
table { border-collapse: collapse; } th { text-align: left; font-weight: 600; } .number { text-align: right; }
th, td { padding: 0.15em 1.2em 0.15em 0; vertical-align: top; } .bad { color: var(--bad); } .dim { color: var(--dim); }
svg { width: 100%; height: auto; margin: 1em 0; } svg text { fill: var(--ink); font-size: 12px; }
svg .title { font-weight: 600; font-size: 14px; } svg .y { text-anchor: end; } svg .x { text-anchor: middle; }
svg .grid { stroke: var(--grid); } svg .bar { fill: var(--one); } polyline { fill: none; stroke-width: 2; }
.one { stroke: var(--one); } .two { stroke: var(--two); } .three { stroke: var(--three); }
svg line.one, svg line.two, svg line.three { stroke-width: 2; }
</style>
";

/// What comes after all else.
pub const END: &str = "</body>\n</html>\n";
