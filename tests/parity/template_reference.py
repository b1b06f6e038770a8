"""The reference for chat templates: the very environment of transformers, with the clock standing still."""

import datetime
import warnings

import jinja2
from transformers.utils import chat_template_utils

NOW = datetime.datetime(2024, 7, 26, 12, 0, tzinfo=datetime.timezone.utc)

warnings.filterwarnings("ignore")  # what eval of generated code says


def compile_template(source):
    template = chat_template_utils._compile_jinja_template(source)
    template.environment.globals["strftime_now"] = lambda form: NOW.strftime(form)
    return template


def render(source, context):
    """("text", text) or ("error", message). As transformers does it: None for tools and documents that are not given."""
    try:
        return "text", compile_template(source).render(**context)
    except (Exception, SystemExit) as e:  # a template may raise whatever Python does
        text = str(e)
        return "error", f"{type(e).__name__}: {text}"


def render_answers(source, context):
    """The text, and the code points of its {% generation %} blocks."""
    blocks, spans = [], []
    template = compile_template(source)
    with template.environment.activate_tracker(blocks, spans):
        for block in template.generate(**context):
            blocks.append(block)
    return "".join(blocks), spans


def is_refusal(message):
    return message.startswith(jinja2.exceptions.TemplateError.__name__ + ":")
