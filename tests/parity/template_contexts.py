"""Conversations for templates: plain, with systems, tools, reasoning, parts, empty and odd content."""

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": 'The weather at a place <now>, "quoted" & more\nsecond line',
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Name, e.g. Zürich"},
                    "days": {"type": "integer", "enum": [1, 2, 3], "default": 1},
                    "units": {"type": ["string", "null"], "nullable": True},
                    "places": {"type": "array", "items": {"type": "string"}},
                    "opts": {"type": "object", "properties": {"deep": {"type": "boolean"}}},
                },
                "required": ["city"],
            },
            "return": {"type": "string", "description": "what it is like"},
        },
    },
    {"type": "function", "function": {"name": "now", "description": "The time.", "parameters": {"type": "object", "properties": {}}}},
]


def call(name, arguments, id_="call00001"):
    return {"type": "function", "id": id_, "function": {"name": name, "arguments": arguments}}


def msg(role, content, **more):
    return {"role": role, "content": content, **more}


HI, SYS = msg("user", "Hello, who are you?"), msg("system", "You are  terse.\nReally.")
BOT = msg("assistant", "I am a model.")
CALL = msg("assistant", "", tool_calls=[call("get_weather", {"city": "Zürich", "days": 2, "opts": {"deep": True, "x": None}})])
CALL_TEXT = msg("assistant", "Let me see.", tool_calls=[call("get_weather", {"city": "Bern"}, "abcdefghi"), call("now", {}, "abcdefghj")])
CALL_STRING = msg("assistant", None, tool_calls=[call("now", '{"a": [1, 2.5]}')])
ANSWER = msg("tool", '{"temp": 21.5}', name="get_weather", tool_call_id="call00001")

CHATS = {
    "user": [HI],
    "system": [SYS, HI],
    "turns": [SYS, HI, BOT, msg("user", "  And\tnow?  "), msg("assistant", " ok "), msg("user", "Bye")],
    "ends in assistant": [HI, BOT],
    "empty": [msg("user", "")],
    "odd text": [msg("user", "<|im_end|> {{ 7*7 }} {% raw %} é 日本 😀 \\n 'q' \"d\" </s>[INST]")],
    "parts": [msg("system", [{"type": "text", "text": "Sys."}]), msg("user", [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}])],
    "image": [msg("user", [{"type": "image"}, {"type": "text", "text": "What is it?"}])],
    "reasoning": [HI, msg("assistant", "Done.", reasoning_content="Think\nhard.", thinking="Think\nhard."), msg("user", "more")],
    "think tags": [HI, msg("assistant", "<think>\nfirst\n</think>\n\nDone."), msg("user", "more"), msg("assistant", "<think>x</think>y")],
    "call": [SYS, HI, CALL, ANSWER],
    "call, answered": [HI, CALL, ANSWER, msg("assistant", "It is warm."), msg("user", "Thanks")],
    "calls with text": [HI, CALL_TEXT, ANSWER, msg("tool", "12:00", name="now", tool_call_id="abcdefghj")],
    "call as string": [HI, CALL_STRING, ANSWER],
    "list answer": [HI, CALL, msg("tool", [{"type": "text", "text": "21"}], tool_call_id="call00001")],
    "developer": [msg("developer", "Be kind."), HI],
    "unknown role": [msg("alien", "zap"), HI],
    "wrong order": [BOT, HI],
    "null content": [HI, msg("assistant", None), msg("user", "x")],
    "missing content": [HI, {"role": "assistant", "tool_calls": [call("now", {})]}, ANSWER],
    "none": [],
}

KWARGS = [
    {},
    {"add_generation_prompt": True},
    {"add_generation_prompt": True, "tools": TOOLS},
    {"add_generation_prompt": True, "enable_thinking": False, "tools": TOOLS},
    {"add_generation_prompt": True, "enable_thinking": True, "reasoning_effort": "high", "thinking": True},
    {"add_generation_prompt": False, "tools": TOOLS[:1], "documents": [{"title": "T", "text": "Body"}], "xml_tools": TOOLS, "date_string": "1 Jan 2025"},
]


def contexts(bos, eos):
    for name, chat in CHATS.items():
        for i, kwargs in enumerate(KWARGS):
            context = {"messages": chat, "tools": None, "documents": None, "add_generation_prompt": False}
            for token, text in (("bos_token", bos), ("eos_token", eos)):
                if text is not None:
                    context[token] = text
            yield f"{name}/{i}", {**context, **kwargs}
