"""Facts about a wiki from the header of its dump, and what follows for the text of its pages."""

from __future__ import annotations

import dataclasses
import functools
import html
import re
from collections.abc import Mapping

# Keys of MediaWiki's namespaces whose links are not text: media, file, category.
_HIDDEN_KEYS = frozenset((-2, 6, 14))
_ARTICLES = 0
# Names that every wiki understands, whatever its language.
_CANONICAL = {
    **{"media": -2, "special": -1, "talk": 1, "user": 2, "user talk": 3, "file": 6, "image": 6},
    **{"file talk": 7, "mediawiki": 8, "mediawiki talk": 9, "template": 10, "template talk": 11},
    **{"help": 12, "help talk": 13, "category": 14, "category talk": 15, "project": 4},
}
# Names of the file namespace that headers no longer list and pages still use.
_FORMER_FILES = {
    **{"ar": "صورة", "da": "billede", "de": "bild", "es": "imagen", "et": "pilt", "fi": "kuva"},
    **{"fr": "image", "hu": "kép", "it": "immagine", "nl": "afbeelding", "no": "bilde"},
    **{"pl": "grafika", "pt": "imagem", "ru": "изображение", "sv": "bild", "uk": "зображення"},
    **{"ja": "画像", "ko": "그림", "zh": "图像"},
}
# Wikis whose pages are shown in several scripts, with `-{...}-` for what differs: the converters in
# languages/converters/ of MediaWiki.
_WITH_VARIANTS = frozenset(
    (
        "ban",
        "crh",
        "gan",
        "iu",
        "kk",
        "ku",
        "mni",
        "sh",
        "shi",
        "sr",
        "tg",
        "tly",
        "uz",
        "wuu",
        "zh",
    )
)
# Sections of references and links: their prose is titles and addresses. Case-folded.
_DROPPED_SECTIONS = {
    "en": "bibliography | citations | cited works | explanatory notes | external links"
    " | external sources | footnotes | further reading | gallery | general references"
    " | image gallery | notes | notes and citations | notes and references | primary sources"
    " | references | references and notes | secondary sources | see also | selected bibliography"
    " | sources | sources and references | works cited",
    "ar": "مراجع | المراجع | المصادر | مصادر | وصلات خارجية | روابط خارجية | انظر أيضا | انظر أيضًا"
    " | هوامش | الهوامش | معرض صور",
    "bg": "източници | външни препратки | вижте също | бележки | литература | галерия",
    "ca": "referències | bibliografia | enllaços externs | vegeu també | notes | notes i referències",
    "cs": "reference | externí odkazy | literatura | související články | poznámky | galerie"
    " | odkazy | zdroje",
    "da": "referencer | kilder | eksterne henvisninger | se også | litteratur | noter | galleri",
    "de": "literatur | weblinks | einzelnachweise | quellen | siehe auch | anmerkungen | fußnoten"
    " | belege | nachweise | galerie | bildergalerie | literatur und quellen | quellen und literatur"
    " | einzelnachweise und anmerkungen | anmerkungen und einzelnachweise | externe links",
    "el": "παραπομπές | πηγές | εξωτερικοί σύνδεσμοι | δείτε επίσης | βιβλιογραφία | σημειώσεις",
    "es": "referencias | bibliografía | enlaces externos | véase también | notas | fuentes"
    " | notas y referencias | referencias y notas | galería | galería de imágenes",
    "fa": "منابع | پانویس | پیوند به بیرون | جستارهای وابسته | یادداشت‌ها | کتاب‌شناسی",
    "fi": "lähteet | viitteet | aiheesta muualla | katso myös | kirjallisuutta | kirjallisuus"
    " | huomautukset",
    "fr": "notes et références | références | bibliographie | liens externes | voir aussi | notes"
    " | articles connexes | annexes | sources | lien externe | galerie | références et notes",
    "he": "הערות שוליים | קישורים חיצוניים | לקריאה נוספת | ראו גם | מקורות | גלריה",
    "hi": "सन्दर्भ | संदर्भ | बाहरी कड़ियाँ | इन्हें भी देखें | स्रोत | टिप्पणियाँ",
    "hu": "jegyzetek | források | további információk | kapcsolódó szócikkek | irodalom | galéria"
    " | külső hivatkozások",
    "id": "referensi | pranala luar | lihat pula | lihat juga | catatan kaki | bacaan lanjutan"
    " | daftar pustaka | catatan | galeri",
    "it": "note | bibliografia | collegamenti esterni | voci correlate | altri progetti | fonti"
    " | galleria d'immagini",
    "ja": "脚注 | 参考文献 | 外部リンク | 関連項目 | 注釈 | 出典 | 注釈・出典 | 関連文献 | ギャラリー",
    "ko": "각주 | 참고 문헌 | 참고문헌 | 외부 링크 | 외부 고리 | 같이 보기 | 주석 | 출처 | 갤러리",
    "nl": "bronnen | referenties | externe links | externe link | zie ook | literatuur | noten"
    " | bronnen, noten en/of referenties | galerij | voetnoten",
    "no": "referanser | eksterne lenker | se også | litteratur | kilder | noter | galleri",
    "pl": "przypisy | bibliografia | linki zewnętrzne | zobacz też | uwagi | źródła | galeria",
    "pt": "referências | bibliografia | ligações externas | ver também | notas | notas e referências"
    " | fontes | galeria | leitura adicional | links externos",
    "ro": "note | referințe | bibliografie | legături externe | vezi și | note bibliografice | galerie"
    " | lectură suplimentară",
    "ru": "примечания | литература | ссылки | см. также | источники | комментарии | сноски | галерея"
    " | библиография",
    "sr": "референце | извори | спољашње везе | види још | литература | напомене | галерија"
    " | reference | izvori | spoljašnje veze | vidi još | literatura",
    "sv": "referenser | källor | externa länkar | se även | litteratur | noter | fotnoter | galleri"
    " | vidare läsning | tryckta källor",
    "th": "อ้างอิง | แหล่งข้อมูลอื่น | ดูเพิ่ม | เชิงอรรถ | หมายเหตุ | บรรณานุกรม | รายการอ้างอิง",
    "tr": "kaynakça | dış bağlantılar | ayrıca bakınız | notlar | kaynaklar | galeri",
    "uk": "примітки | література | посилання | див. також | джерела | виноски | галерея",
    "vi": "tham khảo | liên kết ngoài | xem thêm | chú thích | ghi chú | đọc thêm | nguồn"
    " | thư mục | hình ảnh",
    "zh": "参考文献 | 參考文獻 | 参考资料 | 參考資料 | 外部链接 | 外部連結 | 参见 | 參見 | 注释 | 註釋 | 注釋"
    " | 脚注 | 腳註 | 延伸阅读 | 延伸閱讀 | 相关条目 | 相關條目"
    " | 参考来源 | 參考來源 | 图集 | 圖集 | 来源 | 來源",
}
_DATABASE = re.compile(rb"<dbname>\s*([A-Za-z0-9_-]+)\s*</dbname>")
_LANGUAGE = re.compile(rb"<mediawiki\b[^>]*?\sxml:lang=[\"']([A-Za-z-]{2,20})[\"']")
_NAMESPACE = re.compile(rb"<namespace\b[^>]*?\skey=[\"'](-?\d{1,5})[\"'][^>]*>([^<]*)</namespace>")


@dataclasses.dataclass(frozen=True)
class Site:
    """A wiki.

    Attributes:
      database: name such as "enwiki"; "" if the header has none.
      language: code without its variant, such as "en".
      namespaces: key of each namespace by name, in lower case; articles have no name.
    """

    database: str = ""
    language: str = "en"
    namespaces: Mapping[str, int] = dataclasses.field(default_factory=lambda: _CANONICAL)

    @classmethod
    def from_header(cls, header: bytes) -> Site:
        """Read the bytes of a dump before its first page."""
        database = match[1].decode() if (match := _DATABASE.search(header)) else ""
        language = match[1].decode() if (match := _LANGUAGE.search(header)) else "en"
        local = {
            _fold(html.unescape(name.decode("utf-8", "replace"))): int(key)
            for key, name in _NAMESPACE.findall(header)
            if name.strip()
        }
        return cls(database, language.partition("-")[0].lower(), {**_CANONICAL, **local})

    def namespace_of(self, title: str) -> int:
        """Return the key of the namespace that the title of a page begins with; 0 for articles."""
        name, colon, _ = title.partition(":")
        return self.namespaces.get(_fold(name), _ARTICLES) if colon else _ARTICLES

    @functools.cached_property
    def hidden_prefixes(self) -> frozenset[str]:
        """Names of namespaces whose links are not text: files and categories."""
        names = {name for name, key in self.namespaces.items() if key in _HIDDEN_KEYS}
        return frozenset(names | {_FORMER_FILES.get(self.language, "image")})

    @functools.cached_property
    def dropped_sections(self) -> frozenset[str]:
        """Case-folded titles of sections without prose, in English and in the wiki's language."""
        titles = " | ".join((_DROPPED_SECTIONS["en"], _DROPPED_SECTIONS.get(self.language, "")))
        return frozenset(title.casefold() for title in titles.split(" | ") if title)

    @property
    def has_variants(self) -> bool:
        """Whether pages mark what differs between scripts with `-{...}-`."""
        return self.language in _WITH_VARIANTS


ENGLISH = Site()


def _fold(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).lower()
