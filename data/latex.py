r"""Short formulas as plain text: "\frac{1}{2}" is "1/2", "x_1^2" is "x1²"; the rest has no text."""

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
    **{"cdot": "·", "infty": "∞", "circ": "°", "ell": "ℓ", "hbar": "ħ", "partial": "∂", "%": "%"},
    **dict.fromkeys((",", ";", " ", "quad"), " "),
    **dict.fromkeys(("!", "left", "right", "displaystyle", "textstyle", "scriptstyle"), ""),
    # What follows these in braces is shown as it is.
    **dict.fromkeys(("mathrm", "mathbf", "mathit", "mathcal", "mathbb", "operatorname", "rm"), ""),
    **dict.fromkeys(("text", "textrm", "textit", "mbox"), ""),
}
_COMMAND = re.compile(r"\\([A-Za-z]+|[^A-Za-z])")
_BAR = re.compile(r"\\(?:bar|overline)\s*(?:\{(\w)\}|(\w))")
_FRACTION = re.compile(r"\\[dt]?frac\s*\{(\w+)\}\s*\{(\w+)\}")
_SCRIPT = re.compile(r"([_^])\s*(?:\{([\w+−,-]*)\}|(\w))")
_BRACES = re.compile(r"\{([^{}\\_^&]*)\}")
_RAISED = str.maketrans("0123456789+-−ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻ⁿⁱ")
_LONGEST = 80


def superscript(text: str) -> str:
    """Raised text that cannot be misread: 10⁶ (not 106), x^T; but 4th, Mlle and N° as they are."""
    if re.fullmatch(r"[a-z]{2,}|[eo]|[^\w+−-]*", text):
        return text
    raised = text.translate(_RAISED)
    if re.fullmatch(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱ]+", raised):
        return raised
    return f"^{text}" if re.fullmatch(r"\w+", text) else f"^({text})"


def to_text(latex: str) -> str:
    """What a short formula within a line reads like; "" if plain text cannot show it."""
    text = latex.replace("~", " ").strip()
    if len(text) > _LONGEST:
        return ""
    text = _BAR.sub(lambda match: f"{match[1] or match[2]}\u0304", text)
    text = _COMMAND.sub(lambda match: _COMMANDS.get(match[1], match[0]), text)
    text = _FRACTION.sub(r"\1/\2", text)
    text = _SCRIPT.sub(_place_script, text)
    text = _BRACES.sub(r"\1", text)
    is_left = re.search(r"[\\{}_&|]|\^(?![\w(])", text)
    return "" if is_left else " ".join(text.split())


def _place_script(match: re.Match[str]) -> str:
    script = match[2] if match[2] is not None else match[3]
    return superscript(script) if match[1] == "^" else script
