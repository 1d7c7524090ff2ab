"""Read MediaWiki dumps: parts, pages, wikitext, templates."""
