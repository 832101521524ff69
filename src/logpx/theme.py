"""What pages look like (floor 7): colours for light and dark as CSS variables, and the palette."""

#: Petroff 2021 (arXiv:2107.02270): ten colours chosen to stay apart under colour-vision deficiencies
PALETTE = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip

LIGHT = (
    "--paper: #fdfdfb; --ink: #1d1f22; --soft: #63676d; --faint: #a9adb2; --line: #e4e4df; --wash: #f4f4f0; "
    "--accent: #0a63c2; --second: #8795a6;"
)
DARK = (
    "--paper: #15171a; --ink: #e9e9e5; --soft: #a0a4aa; --faint: #6b7077; --line: #2d3035; --wash: #1c1f23; "
    "--accent: #6cb2ff; --second: #8290a3;"
)
VARIABLES = f"""
:root {{ {LIGHT} color-scheme: light dark; }}
@media (prefers-color-scheme: dark) {{
  :root {{ {DARK} }}
}}
"""
