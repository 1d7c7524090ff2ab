"""Expanders of frequent templates of wikis in other languages than English.

Numbers, dates, centuries and words of other languages, without which sentences are incomplete. The
templates are those that the documentation of each wiki lists for running text.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable

from data.sources.wiki.units import Arguments, Expander, argument, by_name, positional, symbol

_PLAIN = re.compile(r"([-+−]?)(\d+)(?:[.,](\d+))?")
_ROMAN = re.compile(r"[IVXLC]+")


@dataclasses.dataclass(frozen=True)
class _Language:
    """How a language writes numbers and dates.

    Attributes:
      group: separator of groups of three digits.
      point: decimal separator.
      months: names of the months, separated by spaces.
      date: order of a date, from "{day}", "{month}" and "{year}".
      arguments: templates that expand to one argument: keys in order of preference, and names.
      symbols: templates with a fixed text: the text, and names.
      quantities: templates of a number and its unit.
      dates: templates of day, month and year.
      centuries: template names, and the text around the number of the century.
    """

    group: str
    point: str
    months: str = ""
    date: str = "{day} {month} {year}"
    arguments: dict[str, str] = dataclasses.field(default_factory=dict)
    symbols: dict[str, str] = dataclasses.field(default_factory=dict)
    quantities: str = ""
    dates: str = ""
    centuries: dict[str, str] = dataclasses.field(default_factory=dict)

    def write_number(self, number: str, *, shortest_grouped: int = 5) -> str:
        """Return a number as the language writes it; numbers of fewer digits are not grouped."""
        match = _PLAIN.fullmatch(number.replace(" ", ""))
        if match is None:
            return number
        sign, whole, fraction = match.groups()
        if len(whole) >= shortest_grouped:
            whole = re.sub(r"(?<=\d)(?=(?:\d{3})+$)", self.group, whole)
        return sign.replace("-", "−") + whole + (f"{self.point}{fraction}" if fraction else "")

    def write_quantity(self, args: Arguments) -> str:
        """{{unité|12.5|km}} is "12,5 km"; a named argument `u` may have the unit."""
        number, *words = positional(args) or [""]
        unit = args.get("u") or " ".join(word for word in words if word)
        return f"{self.write_number(number)} {unit}".strip()

    def write_date(self, args: Arguments) -> str:
        """{{date|14|juillet|1789}} is "14 juillet 1789"; months may be numbers."""
        day, month, year = (text.strip() for text in [*positional(args), "", "", ""][:3])
        names = self.months.split()
        if month.isdecimal() and 1 <= int(month) <= len(names):
            month = names[int(month) - 1]
        elif not month and not year:
            return day  # the date as a text
        text = self.date.format(day=day.lstrip("0"), month=month, year=year)
        return " ".join(text.split()) if day else " ".join(f"{month} {year}".split())


_FRENCH = _Language(
    group=" ",
    point=",",
    months="janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    arguments={
        "1": "nobr | nobr romains | pc | petites capitales | petit | souligner | page h' | romain"
        " | abréviation discrète | nombre romain | tmp | souligné | incise | terme défini | exp",
        "texte trad 1": "lien",
        "2": "langue | lang",
        "1 2": "abréviation | abr | abréviation2",
    },
    symbols={
        **{
            "er": "er",
            "re": "re | ère | ire",
            "e": "e | ème",
            "nd": "nd",
            "n°": "n° | no | numéro",
        },
        **{"av. J.-C.": "av jc | avjc | av. j.-c.", "apr. J.-C.": "ap jc | apjc | apr. j.-c."},
        **{"Ier": "ier", "Ire": "ire", "°C": "°c", "km/h": "km/h", "M.": "m.", "Mme": "mme"},
        **{"–": "tiret", " ": "esp"},
    },
    quantities="unité | nombre | unité2 | nb | nobr nombre",
    dates="date | date- | date de naissance | date de naissance- | date de décès | date de mort"
    " | date de mort- | date de décès- | date républicaine | jour",
    centuries={"s | s- | sp | siècle": "{}e siècle", "s mini- | s2- | -s": "{}e"},
)
_GERMAN = _Language(
    group=".",
    point=",",
    months="Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    date="{day}. {month} {year}",
    arguments={
        "1": "nowrap | geburtsdatum | datum | start-datum | lang text | kapitälchen | bausteindesign"
        " | schriftgröße | farbig | polytonisch | hebräische schrift | arf | rus | unicode",
        "2": "lang",
        "text 1": "zitat",
    },
    symbols={"–": "bis", "½": "halb"},
    quantities="zahl | maß | höhe | formatzahl | nts | bruchzahl",
    dates="datumzelle | dts",
)
_SPANISH = _Language(
    group=" ",
    point=",",
    months="enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre"
    " diciembre",
    date="{day} de {month} de {year}",
    arguments={
        "1": "esd | versalita | versalitas | cita | cita larga | nowrap | unicode",
        "2": "lang",
    },
    symbols={"a. C.": "ac | a. c. | a.c.", "d. C.": "dc | d. c. | d.c.", "n.º": "número | n.º"},
    quantities="unidad | convertir | cantidad | num | número con unidad",
    dates="fecha | fecha de inicio | fecha de nacimiento | fecha de fallecimiento",
    centuries={"siglo | s": "siglo {}"},
)
_ITALIAN = _Language(
    group=" ",
    point=",",
    months="gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre"
    " dicembre",
    arguments={"1": "nowrap | maiuscoletto | citazione | quote | polytonic", "2": "lang"},
    symbols={"a.C.": "a.c. | ac", "d.C.": "d.c. | dc"},
    quantities="m | converti | unità",
    dates="data",
    centuries={"secolo | sec": "{} secolo"},
)
_PORTUGUESE = _Language(
    group=" ",
    point=",",
    months="janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    date="{day} de {month} de {year}",
    arguments={"1": "nowrap | citação | quote | versalete", "2": "lang"},
    symbols={"a.C.": "a.c. | ac", "d.C.": "d.c. | dc"},
    quantities="fmtn | unidade | medida | converter",
    dates="dtlink | data | dni | dtext | morte | nascimento",
    centuries={"séc | século": "século {}"},
)
_RUSSIAN = _Language(
    group=" ",
    point=",",
    months="января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
    arguments={
        "1": "s | nobr | comment | цитата | ударение | нет ударения | полиграфия | старая орфография",
        "2 1": "нп | нп2 | нп3 | нп4 | нп5 | не переведено | не переведено 2 | не переведено 3"
        " | не переведено 4 | не переведено 5",
        "2": "lang",
    },
    symbols={"до н. э.": "до н. э. | bc", "н. э.": "н. э.", "№": "№"},
    quantities="число | num | ч | формат числа",
    dates="дата | oldstyledate | дата рождения | дата смерти",
    centuries={"век": "{} век"},
)
_JAPANESE = _Language(
    group=",",
    point=".",
    arguments={
        "1": "仮リンク | 読み仮名 | ruby | ルビ | 要出典範囲 | jis2004フォント | 補助漢字フォント | nowrap"
        " | 表記揺れ案内 | 読み仮名 ruby不使用",
        "2": "lang",
    },
    date="{year}年{month}月{day}日",
    quantities="個数 | 数",
)
_CHINESE = _Language(
    group=",",
    point=".",
    arguments={
        "1": "nowrap | 注音 | ruby | 僻字 | link-en | link-de | link-fr | link-ja | link-ru | le | 翻译"
        " | 楷体 | 粗体",
        "3 2": "tsl | translink | 绿链",
        "2": "lang | lj",
    },
    date="{year}年{month}月{day}日",
    quantities="数字",
)
_POLISH = _Language(
    group=" ",
    point=",",
    months="stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października"
    " listopada grudnia",
    arguments={"1": "nowrap | j | cytat | kapitaliki | k", "2": "lang | w języku"},
    symbols={"p.n.e.": "pne", "n.e.": "ne"},
    quantities="liczba | wartość | miara",
    dates="data",
)
_DUTCH = _Language(
    group=".",
    point=",",
    months="januari februari maart april mei juni juli augustus september oktober november december",
    arguments={"1": "nowrap | citaat | kleinkapitaal", "2": "lang | taal"},
    symbols={"v.Chr.": "v.chr.", "n.Chr.": "n.chr."},
    quantities="maat | getal | eenheid",
    dates="datum",
)
_SWEDISH = _Language(
    group=" ",
    point=",",
    months="januari februari mars april maj juni juli augusti september oktober november december",
    arguments={"1": "nowrap | citat | kapitäler", "2": "lang"},
    symbols={"f.Kr.": "f.kr.", "e.Kr.": "e.kr."},
    quantities="nts | enhet | tal",
    dates="datum | födelsedatum | startdatum",
)
_LANGUAGES = {
    **{"de": _GERMAN, "es": _SPANISH, "fr": _FRENCH, "it": _ITALIAN, "ja": _JAPANESE},
    **{"nl": _DUTCH, "pl": _POLISH, "pt": _PORTUGUESE, "ru": _RUSSIAN, "sv": _SWEDISH},
    **{"zh": _CHINESE},
}


def find_expander(name: str, language: str) -> Expander | None:
    """Return the function from rendered arguments to text, or None if the language has no template.

    Args:
      name: lower-case name of the template.
      language: code of the wiki's language.
    """
    if (rules := _LANGUAGES.get(language)) is None:
        return None
    if expander := _expanders(language).get(name):
        return expander
    if match := re.fullmatch(r"formatnum:\s*([\d., -]+)(\|.*)?", name):
        number = rules.write_number(match[1].strip(), shortest_grouped=4)
        return lambda _: number
    # Centuries as names: {{XIXe siècle}}.
    if language == "fr" and (
        match := re.fullmatch(r"([ivxlc]+)(er?) siècle( av\. j\.-c\.)?", name)
    ):
        before_christ = " av. J.-C." if match[3] else ""
        century = f"{match[1].upper()}{match[2]} siècle{before_christ}"
        return lambda _: century
    return None


@functools.cache
def _expanders(language: str) -> dict[str, Expander]:
    rules = _LANGUAGES[language]
    expanders: dict[str, Expander] = {}
    for name, keys in by_name(rules.arguments).items():
        expanders[name] = argument(keys)
    for name, text in by_name(rules.symbols).items():
        expanders[name] = symbol(text)
    expanders |= dict.fromkeys(filter(None, rules.quantities.split(" | ")), rules.write_quantity)
    expanders |= dict.fromkeys(filter(None, rules.dates.split(" | ")), rules.write_date)
    for names, pattern in rules.centuries.items():
        expanders |= dict.fromkeys(names.split(" | "), _century(pattern))
    if language == "fr":
        expanders["1er"] = _first_of_month
    return expanders


def _century(pattern: str) -> Callable[[Arguments], str]:
    """Return an expander of {{s|XIX}}; French writes "Ier" for the first."""

    def expand(args: Arguments) -> str:
        number = args.get("1", "")
        if not _ROMAN.fullmatch(number.upper()):
            return number
        text = pattern.format(number.upper())
        return re.sub(r"^Ie\b", "Ier", text)

    return expand


def _first_of_month(args: Arguments) -> str:
    """{{1er|janvier}} is "1er janvier"."""
    return " ".join(["1er", *positional(args)])
