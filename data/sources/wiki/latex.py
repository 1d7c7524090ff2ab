r"""Convert short formulas to plain text: "\frac{1}{2}" to "1/2", "x_1^2" to "x1²".

The text must not mean something else than the formula: 2^{mn} must not become 2mn, nor a^e ae.
Formulas that plain text cannot express become "".
"""

from __future__ import annotations

import re

_GREEK = re.findall(
    r"(\w+) (\w)",
    "alpha α beta β gamma γ delta δ epsilon ε varepsilon ε zeta ζ eta η theta θ vartheta ϑ iota ι"
    " kappa κ lambda λ mu μ nu ν xi ξ pi π rho ρ sigma σ tau τ upsilon υ phi φ varphi φ chi χ psi ψ"
    " omega ω Gamma Γ Delta Δ Theta Θ Lambda Λ Xi Ξ Pi Π Sigma Σ Phi Φ Psi Ψ Omega Ω",
)
_OPERATORS = re.findall(
    r"(\w+) (\S)",
    "times × pm ± leq ≤ le ≤ geq ≥ ge ≥ neq ≠ ne ≠ approx ≈ equiv ≡ sim ~ to → rightarrow →"
    " leftrightarrow ↔ in ∈ subset ⊂ cup ∪ cap ∩ land ∧ lor ∨",
)
_FUNCTIONS = re.findall(
    r"\w+", "sin cos tan arcsin arccos arctan log ln exp min max lim det mod gcd"
)
_COMMANDS = {
    **dict(_GREEK),
    **{name: f" {sign} " for name, sign in _OPERATORS},
    **{name: name for name in _FUNCTIONS},
    **dict.fromkeys(("ldots", "dots", "dotsc", "dotsb", "cdots"), "…"),
    **{
        "cdot": "·",
        "infty": "∞",
        "circ": "∘",
        "prime": "′",
        "ell": "ℓ",
        "hbar": "ħ",
        "partial": "∂",
        "%": "%",
    },
    **dict.fromkeys((",", ";", " ", "quad"), " "),
    **dict.fromkeys(("!", "left", "right", "displaystyle", "textstyle", "scriptstyle"), ""),
    # The braces after these hold plain text.
    **dict.fromkeys(("mathrm", "mathbf", "mathit", "mathcal", "mathbb", "operatorname", "rm"), ""),
    **dict.fromkeys(("text", "textrm", "textit", "mbox"), ""),
}
_COMMAND = re.compile(r"\\([A-Za-z]+|[^A-Za-z])")
_BAR = re.compile(r"\\(?:bar|overline)\s*(?:\{(\w)\}|(\w))")
# A fraction needs brackets if a factor precedes or follows it: (1/2)mv².
_FRACTION = re.compile(r"([\w)]?)(\s*)\\[dt]?frac\s*\{(\w+)\}\s*\{(\w+)\}(?=(\s*[\w(^\\])?)")
_SCRIPT = re.compile(r"(\d?)([_^])\s*(?:\{([\w+−,∘′-]*)\}|([\w∘′]))")
_BRACES = re.compile(r"\{([^{}\\_^&]*)\}")
_RAISED = str.maketrans("0123456789+-−–ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁻ⁿⁱ")
_LONGEST = 80  # characters


# mhchem: "SO4^2-" and "Na+"; {{chem2}}: "SO4(2-)".
_CHARGE = re.compile(r"\^\{?(\d+[+−-]?|[+−-])\}?|\((\d*[+−-])\)|(?<=[A-Za-z0-9)\]])([+−-])(?=\s|$)")
_ARROWS = (("<=>", " ⇌ "), ("<->", " ↔ "), ("->", " → "))


def superscript(text: str) -> str:
    """Mark raised text: "6" becomes "⁶" and "T" becomes "^T"; "th", "lle" and "°" are unchanged."""
    return text if re.fullmatch(r"[a-z]{2,}|[eo]|[^\w+−–-]*", text) else _raise(text)


def _raise(exponent: str) -> str:
    raised = exponent.translate(_RAISED)
    if re.fullmatch(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱ]+", raised):
        return raised
    return f"^{exponent}" if re.fullmatch(r"\w", exponent) else f"^({exponent})"


def to_text(latex: str) -> str:
    """Convert a short formula in LaTeX to text; return "" if plain text cannot express it."""
    text = latex.replace("~", " ").strip()
    if len(text) > _LONGEST:
        return ""
    text = _BAR.sub(lambda match: f"{match[1] or match[2]}\u0304", text)
    text = _COMMAND.sub(lambda match: _COMMANDS.get(match[1], match[0]), text)
    text = _FRACTION.sub(_render_fraction, text)
    text = _SCRIPT.sub(_render_script, text)
    text = _BRACES.sub(r"\1", text)
    has_markup = re.search(r"[\\{}&|]|_(?!\()|\^(?![\w(])", text)
    return "" if has_markup else " ".join(text.split())


def chemistry(formula: str) -> str:
    """Convert a short formula of the mhchem package to text: "SO4^2-" to "SO4²⁻"."""
    text = formula.strip()
    if len(text) > _LONGEST:
        return ""
    for sign, arrow in _ARROWS:
        text = text.replace(sign, arrow)
    text = _CHARGE.sub(lambda match: _raise(match[1] or match[2] or match[3]), text)
    text = re.sub(r"_\{?(\d+|[a-z])\}?", r"\1", text)
    return "" if re.search(r"[\\{}_^]", text) else " ".join(text.split())


def _render_fraction(match: re.Match[str]) -> str:
    before, blanks, above, below, after = match.groups()
    if len(below) > 1 and not below.isdigit():
        below = f"({below})"
    fraction = f"{above}/{below}"
    if before.isdigit() and not after and f"{above}{below}".isdigit():
        return f"{before} {fraction}"  # a mixed number
    return f"{before}{blanks}({fraction})" if before or after else blanks + fraction


def _render_script(match: re.Match[str]) -> str:
    before, kind = match[1], match[2]
    script = match[3] if match[3] is not None else match[4]
    if kind == "^":
        # Degrees, derivatives and ordinals.
        is_literal = re.fullmatch("[∘′]*|st|nd|rd|th", script)
        return before + (script.replace("∘", "°") if is_literal else _raise(script))
    # Without the underscore, digits after digits and sums would change the meaning.
    is_plain = not re.search(r"[+−,-]", script) and not (before and script[:1].isdigit())
    return before + (script if is_plain else f"_({script})")
