"""Chat templates: what Hugging Face's Jinja templates become in a bundle.

`fit` turns a template into the prefixes and suffixes that a `.task` holds, and proves them;
`runtime_template` makes of it what LiteRT-LM's own template engine renders from a `.litertlm`;
`stops` finds the token that a template ends answers with. Templates are programs of unknown
origin: they run in a process of their own with limits (`rendering`).
"""
