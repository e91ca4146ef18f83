"""Small chat templates in ChatML that read tools: calls in the Hermes manner and in Qwen3-Coder's."""

_TURNS = """
{%- macro turn(role, text) %}{{ '<|im_start|>' ~ role ~ '\n' ~ text ~ '<|im_end|>\n' }}{% endmacro -%}
{%- set ns = namespace(system='') -%}
{%- if messages[0].role == 'system' %}{% set ns.system = messages[0].content %}{% endif -%}
{%- if tools %}
  {%- set ns.system = ns.system ~ '\nFunctions you may call:' %}
  {%- for tool in tools %}{% set ns.system = ns.system ~ '\n' ~ (tool.function | tojson) %}{% endfor %}
{%- endif -%}
{%- if ns.system %}{{ turn('system', ns.system) }}{% endif -%}
{%- for message in messages if message.role != 'system' -%}
  {%- if message.role == 'tool' -%}
    {{ turn('user', '<tool_response>\n' ~ message.content ~ '\n</tool_response>') }}
  {%- elif message.tool_calls -%}
    {{- '<|im_start|>assistant' }}
    {%- if message.content %}{{ '\n' ~ message.content }}{% endif %}
    {%- for tool_call in message.tool_calls %}{% set f = tool_call.function -%}
      {{- '\n<tool_call>\n' }}CALL{{ '\n</tool_call>' }}
    {%- endfor %}
    {{- '<|im_end|>\n' }}
  {%- else -%}
    {{ turn(message.role, message.content) }}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif -%}
"""

HERMES = _TURNS.replace("CALL", "{{ {'name': f.name, 'arguments': f.arguments} | tojson }}")
# As earlier releases of Qwen3-Coder's have it: what is neither text nor object is written as Python writes it.
QWEN3_CODER = _TURNS.replace(
    "CALL",
    "{{ '<function=' ~ f.name ~ '>\\n' }}"
    "{%- for key, value in f.arguments.items() %}"
    "{{ '<parameter=' ~ key ~ '>\\n' ~ (value | tojson if value is mapping else value) ~ '\\n</parameter>\\n' }}"
    "{%- endfor %}{{ '</function>' }}",
)
