"""Read MediaWiki dumps: pages, wikitext, templates."""
