"""Short formulas as plain text: "\\frac{1}{2}" is "1/2", "x_1^2" is "x1²"; the rest has no text."""

from __future__ import annotations

import re

_GREEK = (
    "alpha α beta β gamma γ delta δ epsilon ε varepsilon ε zeta ζ eta η theta θ vartheta ϑ iota ι kappa κ"
    " lambda λ mu μ nu ν xi ξ pi π rho ρ sigma σ tau τ upsilon υ phi φ varphi φ chi χ psi ψ omega ω"
    " Gamma Γ Delta Δ Theta Θ Lambda Λ Xi Ξ Pi Π Sigma Σ Phi Φ Psi Ψ Omega Ω"
).split()
_SYMBOLS = {
    **dict(zip(_GREEK[::2], _GREEK[1::2], strict=True)),
    **{
        "times": " × ",
        "cdot": "·",
        "pm": " ± ",
        "leq": " ≤ ",
        "le": " ≤ ",
        "geq": " ≥ ",
        "ge": " ≥ ",
    },
    **{"neq": " ≠ ", "ne": " ≠ ", "approx": " ≈ ", "sim": " ~ ", "to": " → ", "rightarrow": " → "},
    **{"in": " ∈ ", "subset": " ⊂ ", "infty": "∞", "ldots": "…", "dots": "…", "dotsc": "…"},
    **{"cdots": "…", "circ": "°", "ell": "ℓ", "hbar": "ħ", "partial": "∂", "nabla": "∇"},
    **{
        ",": " ",
        ";": " ",
        " ": " ",
        "quad": " ",
        "!": "",
        "left": "",
        "right": "",
        "%": "%",
        "$": "$",
    },
    **dict.fromkeys(("displaystyle", "textstyle", "scriptstyle"), ""),
}
# Commands whose argument is shown as it is.
_PLAIN = re.compile(
    r"\\(?:mathrm|mathbf|mathit|mathcal|mathbb|text|textrm|textit|operatorname|rm)\s*"
)
_FRACTION = re.compile(r"\\[dt]?frac\s*\{(\w+)\}\s*\{(\w+)\}")
_SCRIPT = re.compile(r"(\^|_)\s*(?:\{([\w+−-]*)\}|(\w))")
_COMMAND = re.compile(r"\\([A-Za-z]+|[^A-Za-z])")
_SUPERSCRIPTS = str.maketrans("0123456789+-−ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻ⁿⁱ")
_LONGEST = 60


def superscript(text: str) -> str:
    """Raised text that cannot be misread: 10⁶ (not 106), 4th, Mlle, x^T."""
    if not text or re.fullmatch(r"[a-z]{2,}|o|e|\W+", text):
        return "" if text in ("[", "]") else text
    raised = text.translate(_SUPERSCRIPTS)
    if re.fullmatch(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱ]+", raised):
        return raised
    return f"^{text}" if re.fullmatch(r"\w+", text) else f"^({text})"


def to_text(latex: str) -> str:
    """What a short formula in a line of text reads like; "" if text cannot show it."""
    text = latex.strip().rstrip(".,")
    if len(text) > _LONGEST:
        return ""
    text = _PLAIN.sub("", text)
    text = _COMMAND.sub(lambda m: _SYMBOLS.get(m[1], m[0]), text)
    text = _FRACTION.sub(r"\1/\2", text)
    text = _SCRIPT.sub(_raise_or_lower, text)
    text = re.sub(r"\{([\w\s.,'+−-]*)\}", r"\1", text)
    if re.search(r"[\\{}^_&]|\n\n", text.replace("^(", "")):
        return ""
    return text + latex.strip()[len(latex.strip().rstrip(".,")) :]


def _raise_or_lower(match: re.Match[str]) -> str:
    script = match[2] if match[2] is not None else match[3]
    return superscript(script) if match[1] == "^" else script
