"""{{convert}}: the quantity that the editor wrote, as text; its conversions are left out."""

from __future__ import annotations

import re

# Code: name of one (where it is not the last one, its plural follows after "/").
_UNITS = {
    **{"mm": "millimetre", "cm": "centimetre", "dm": "decimetre", "m": "metre", "km": "kilometre"},
    **{"um": "micrometre", "μm": "micrometre", "µm": "micrometre", "nm": "nanometre"},
    **{"in": "inch/inches", "inch": "inch/inches", "ft": "foot/feet", "foot": "foot/feet"},
    **{"feet": "foot/feet", "yd": "yard", "mi": "mile", "mile": "mile", "miles": "mile"},
    **{"nmi": "nautical mile", "fathom": "fathom", "ly": "light-year", "pc": "parsec"},
    **{"AU": "astronomical unit", "chain": "chain", "furlong": "furlong", "hand": "hand"},
    **{"m2": "square metre", "cm2": "square centimetre", "mm2": "square millimetre"},
    **{"km2": "square kilometre", "ha": "hectare", "acre": "acre", "sqmi": "square mile"},
    **{
        "sqft": "square foot/square feet",
        "sqin": "square inch/square inches",
        "sqyd": "square yard",
    },
    **{"sqkm": "square kilometre", "sqm": "square metre", "acres": "acre", "dunam": "dunam"},
    **{
        "m3": "cubic metre",
        "cm3": "cubic centimetre",
        "km3": "cubic kilometre",
        "cc": "cubic centimetre",
    },
    **{"cuft": "cubic foot/cubic feet", "cuin": "cubic inch/cubic inches", "cuyd": "cubic yard"},
    **{"cumi": "cubic mile", "acre.ft": "acre-foot/acre-feet", "acre.foot": "acre-foot/acre-feet"},
    **{"l": "litre", "L": "litre", "ml": "millilitre", "mL": "millilitre", "hl": "hectolitre"},
    **{"gal": "gallon", "USgal": "US gallon", "impgal": "imperial gallon", "oilbbl": "barrel"},
    **{"oz": "ounce", "ozt": "troy ounce", "lb": "pound", "lbs": "pound", "st": "stone/stone"},
    **{"g": "gram", "mg": "milligram", "kg": "kilogram", "t": "tonne", "MT": "metric ton"},
    **{"tonne": "tonne", "LT": "long ton", "ST": "short ton", "carat": "carat", "ton": "ton"},
    **{"s": "second", "min": "minute", "h": "hour", "C-change": "degree Celsius/degrees Celsius"},
    **{"F-change": "degree Fahrenheit/degrees Fahrenheit", "kn": "knot", "knot": "knot"},
    **{
        "hp": "horsepower/horsepower",
        "bhp": "brake horsepower/brake horsepower",
        "PS": "metric horsepower",
    },
    **{
        "W": "watt",
        "kW": "kilowatt",
        "MW": "megawatt",
        "GW": "gigawatt",
        "J": "joule",
        "kJ": "kilojoule",
    },
    **{
        "MJ": "megajoule",
        "cal": "calorie",
        "kcal": "kilocalorie",
        "kWh": "kilowatt-hour",
        "N": "newton",
    },
    **{"kN": "kilonewton", "lbf": "pound-force/pounds-force", "Nm": "newton-metre", "Pa": "pascal"},
    **{
        "kPa": "kilopascal",
        "MPa": "megapascal",
        "hPa": "hectopascal",
        "bar": "bar",
        "atm": "atmosphere",
    },
    **{
        "psi": "pound per square inch/pounds per square inch",
        "mbar": "millibar",
        "Hz": "hertz/hertz",
    },
    **{"Tcuft": "trillion cubic feet/trillion cubic feet", "e6acre": "million acres/million acres"},
    **{"Goilbbl": "billion barrels/billion barrels", "Moilbbl": "million barrels/million barrels"},
    **{"koilbbl": "thousand barrels/thousand barrels", "mph": "mile per hour", "pint": "pint"},
}
_SYMBOLS = {
    **{
        "C": "°C",
        "F": "°F",
        "°C": "°C",
        "°F": "°F",
        "K": "K",
        "kph": "km/h",
        "km/h": "km/h",
        "mph": "mph",
    },
    **{
        "sqmi": "sq mi",
        "sqft": "sq ft",
        "sqin": "sq in",
        "sqyd": "sq yd",
        "cuft": "cu ft",
        "cuin": "cu in",
    },
    **{
        "km2": "km²",
        "m2": "m²",
        "cm2": "cm²",
        "mm2": "mm²",
        "m3": "m³",
        "cm3": "cm³",
        "km3": "km³",
    },
    **{
        "oilbbl": "bbl",
        "Moilbbl": "million bbl",
        "koilbbl": "thousand bbl",
        "Goilbbl": "billion bbl",
    },
    **{"USgal": "US gal", "impgal": "imp gal", "cuyd": "cu yd", "cumi": "cu mi", "C-change": "°C"},
    **{
        "F-change": "°F",
        "d": "day",
        "um": "μm",
        "LT": "long tons",
        "ST": "short tons",
        "sqkm": "km²",
    },
}
_POWERS = {"e3": "thousand", "e6": "million", "e9": "billion", "e12": "trillion"}
_TIMES = {
    "d": "day",
    "h": "hour",
    "s": "second",
    "min": "minute",
    "year": "year",
    "yr": "year",
    "a": "year",
}
_RANGE_WORDS = {
    **{"-": "–", "–": "–", "and(-)": " and ", "x": " × ", "×": " × ", "*": " × ", "xx": " × "},
    **{
        "by": " by ",
        "+/-": " ± ",
        "±": " ± ",
        "+": " + ",
        "to": " to ",
        "and": " and ",
        "or": " or ",
    },
    **{
        "to(-)": " to ",
        "to about": " to about ",
        "or(-)": " or ",
        "/": "/",
        "through": " through ",
    },
}
_NUMBER = re.compile(
    r"[-+−]?\d[\d,.\s]*(?:e[-+]?\d+)?|[-+−]?(?:\d+\+)?\d+(?:/|//|⁄)\d+|[-+−]?\.\d+"
)
# Feet and inches, pounds and ounces: two numbers for one quantity.
_PAIRS = {("ft", "in"), ("mi", "yd"), ("yd", "ft"), ("lb", "oz"), ("st", "lb"), ("mi", "ch")}


def convert(args: dict[str, str]) -> str:
    """{{convert|5|km|mi}} is "5 kilometres", {{convert|5|to|10|km|abbr=on}} "5 to 10 km"."""
    values = [args[key] for key in sorted((k for k in args if k.isdecimal()), key=int)]
    text, number = "", ""
    while values and _NUMBER.fullmatch(values[0]):
        number = values.pop(0)
        text += group_digits(number)
        if values and values[0] in _RANGE_WORDS:
            text += _RANGE_WORDS[values.pop(0)]
        elif values:
            unit = values.pop(0)
            if len(values) > 1 and (unit, values[1]) in _PAIRS and _NUMBER.fullmatch(values[0]):
                text += " " + _unit_text(unit, number, args) + " "
                number, unit = values[0], values[1]
                text += group_digits(number)
            return _join(text, _unit_text(unit, number, args), args)
        else:
            return text
    return text.strip()


def group_digits(number: str) -> str:
    """52419 is "52,419", 0.00123 stays, 1+1/2 is "1 1/2"."""
    number = (
        number.replace("//", "/").replace("⁄", "/").replace("+", " ") if "/" in number else number
    )
    match = re.fullmatch(r"([-+−]?)(\d{4,})(\.\d+)?", number)
    if match is None:
        return number.replace("-", "−", 1) if number.startswith("-") else number
    sign, digits, decimals = match.groups()
    return f"{sign.replace('-', '−')}{int(digits):,}{decimals or ''}"


def _join(text: str, unit: str, args: dict[str, str]) -> str:
    is_adjective = args.get("adj") in ("on", "mid") and " " not in unit and unit.isalpha()
    if args.get("adj") in ("on", "mid") and args.get("abbr") not in ("on", "in"):
        is_adjective = not unit.startswith("°")
        unit = unit.replace(" ", "-") if is_adjective else unit
    return f"{text}-{unit}" if is_adjective else f"{text} {unit}"


def _unit_text(unit: str, number: str, args: dict[str, str]) -> str:
    """Name or symbol of a unit; an unknown one stays as it is."""
    is_short = args.get("abbr") in ("on", "in", "values") or args.get("abbre") == "on"
    power = next((word for code, word in _POWERS.items() if unit.startswith(code)), "")
    base = unit[len(re.match(r"(?:e\d+)?", unit)[0]) :] if power and unit not in _UNITS else unit
    head, slash, per = base.partition("/")
    if is_short or (head not in _UNITS and head in _SYMBOLS):
        name = _SYMBOLS.get(base) or _SYMBOLS.get(head, head) + slash + _SYMBOLS.get(per, per)
    elif head in _UNITS:
        name = _name(head, number, args, is_plural=power != "")
        if per:
            name += " per " + (_TIMES.get(per) or _name(per, "1", {"sp": args.get("sp", "")}))
    else:
        name = base
    return f"{power} {name}" if power and base != unit else name


def _name(unit: str, number: str, args: dict[str, str], *, is_plural: bool = False) -> str:
    singular, _, plural = _UNITS.get(unit, unit).partition("/")
    is_one = number in ("1", "-1", "−1") or ("/" in number and "+" not in number)
    if unit in _UNITS and not plural:
        first, per, rest = singular.partition(" per ")
        plural = f"{first}s{per}{rest}"
    is_singular = (is_one and not is_plural) or args.get("adj") in ("on", "mid")
    name = singular if is_singular or not plural else plural
    if args.get("sp") == "us":
        name = name.replace("metre", "meter").replace("litre", "liter")
    return name
