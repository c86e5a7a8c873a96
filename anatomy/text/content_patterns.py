"""Wording that a data team looks for in responses before training: patterns, English only.

A claim to be another maker's model is in the first person ("As a model made by OpenAI"): that somebody else made a
model is knowledge. Openings are canned where they announce an answer ("Sure, here is"), not where they are one ("Sure,
that works"). Placeholders are brackets that ask to be filled in. Every repetition is bounded, so that a text is read in
linear time.
"""

from __future__ import annotations

BENCHMARKS = r"\b(?:GSM8K|MMLU|GPQA|AGIEval|HumanEval|TruthfulQA|BIG-bench|HellaSwag|HarmBench|XSTest|StrongREJECT)\b"
"""Names of benchmarks, of a spelling that means nothing else."""

_MAKER = (
    r"(?:OpenAI|Open AI|Anthropic|Google(?: DeepMind| AI)?|DeepMind|Meta(?: AI)?|Microsoft|Mistral(?: AI)?"
    r"|Alibaba(?: Cloud)?|DeepSeek|xAI|Baidu|Moonshot AI|Zhipu(?: AI)?|Cohere|LAION|Databricks|Stability AI|LMSYS"
    r"|Tencent|ByteDance|Nous Research|Hugging ?Face|Technology Innovation Institute|TII|Allen Institute for AI|Ai2"
    r"|01\.AI|AI21(?: Labs)?|EleutherAI|Inflection(?: AI)?|IBM|NVIDIA)\b"
)
_MODEL = (
    r"(?:ChatGPT|GPT-?[2-5](?:\.\d)?|InstructGPT|Bing Chat|LLaMA(?:[- ]?\d)?|Mixtral|Qwen|Tongyi Qianwen|DeepSeek|Grok"
    r"|ChatGLM|Baichuan|Open ?Assistant|PaLM|LaMDA|Vicuna|ERNIE Bot|Kimi|Gemma|Tulu|OLMo|StableLM)\b"
)
_PERSONAL_NAME = r"(?:Claude|Gemini|Bard|Copilot|Falcon|Alpaca|Koala|Dolly|Mistral|Zephyr|Hermes|Pi)\b"
_MADE = r"(?:developed|created|made|trained|built|designed|maintained|programmed|fine-tuned|trained and developed)"
_I_AM = r"\b(?:I am|I'm|my name is|I was|as)\b"
_KIND = (
    r"(?:the|an?|large|new|free|AI|artificial|intelligence|language|model|chat ?bot|assistant|called|named|known|as"
    r"|\w+'s)"
)
MAKER_IDENTITY = (
    rf"\b(?:I am|I'm|my name is|this is) (?:{_KIND},? ){{0,6}}{_MODEL}"
    r"(?! (?:user|expert|developer|fan|prompt|can|is|was)\b)"
    rf"|(?:\A|[.,!?:] |\n)as {_MODEL}, (?:I|my)\b"
    rf"|\b(?:I am|I'm|my name is) {_PERSONAL_NAME}(?:,| -| –|\.)? (?:I'm |I am )?(?:an? |and |the )*(?:\w+ ){{0,3}}"
    rf"(?:AI|language model|assistant|chatbot|{_MADE} by|from {_MAKER}|by {_MAKER})"
    rf"|{_I_AM} (?:[\w'-]+,? ){{0,9}}?{_MADE} (?:and \w+ )?by (?:the )?(?:\w+ ){{0,4}}?{_MAKER}"
    rf"|{_I_AM} an? (?:[\w'-]+ ){{0,4}}(?:AI|model|assistant|chatbot) (?:from|by|of|at) {_MAKER}"
    rf"|\b(?:{_MODEL}|{_PERSONAL_NAME}) here\b[,.!:]? (?:an? |from|by|I)"
    r"|\bI(?:'m| am) (?:\w+ ){0,4}(?:based on|powered by|running on) (?:the )?(?:\w+ ){0,2}"
    rf"(?:{_MAKER}'s )?{_MODEL}"
    rf"|\bmy (?:creators?|developers?|makers?|parent company|programmers?)(?:,? (?:at |is |are )?| ){_MAKER}"
    rf"|\b(?:against|violat\w+|comply with|follow|within|under) {_MAKER}'s (?:\w+ ){{0,3}}"
    r"(?:polic|guideline|terms|rules)"
)

_MONTH = r"(?:(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\w{0,7}(?: of)?,? )?"
_DATE = rf"(?:the )?(?:early |late |mid-?|middle of |end of |beginning of )?{_MONTH}20[12]\d"
CUT_OFF = (
    r"\bmy (?:last|latest|most recent|current|own) (?:knowledge |training |data |information |software )*"
    r"(?:update|cut-?off|training(?: data)?|refresh)\b"
    r"|\bmy (?:knowledge|training|data|information)(?: data| base)?(?: update|'s)? (?:cut-?off|cut off|update)\b"
    r"|(?<!\bits )(?<!their )\b(?:knowledge|training(?: data)?)(?:'s)? cut-?off(?: date)?\b"
    r"(?=,? (?:in|of|is|was|date|being|as of|\()|[,.)])"
    r"|\bmy (?:training(?: data)?|knowledge|data|information|database)(?: base| data)? (?:\w+ ){0,2}?(?:goes|extends?"
    r"|is current|(?:is|was) (?:\w+ )?(?:up[ -]to[ -]date|updated|accurate|limited|based|trained|collected|available)"
    rf"|ends?|stops?|covers?|includes?|runs) (?:[\w'-]+ ){{0,6}}?{_DATE}"
    rf"|\bI (?:was|am|have been) (?:only |last |most recently )*(?:trained|updated) (?:[\w'-]+ ){{0,8}}?{_DATE}"
    r"|\bI (?:do not|don't|cannot|can't) (?:have|know|access|provide) (?:[\w'-]+ ){0,8}?(?:after|beyond|past|since) "
    rf"{_DATE}"
)

_THEN = r"(?:here(?:'s| is| are|'re)?\b|below|let me|let's|I(?:'d| would|'ll| will| can|'m| am)\b|I've|the following)"
CANNED_OPENING = (
    r"\A[\s*_#>\"]*(?:"
    r"(?:certainly|sure(?: thing)?|of course|absolutely|definitely|gladly|no problem)"
    rf"(?:!|[,.:]? {_THEN})"
    r"|certainly[.,] (?![^.,\n]{0,20}\Z)"
    r"|(?:great|okay|ok|alright|right)[,.!]? (?:here(?:'s| is| are|'re)\b|let me|let's)"
    r"|(?:what an? |that(?:'s| is) (?:such )?an? (?:really |very )?|this is an? (?:really |very )?)?"
    r"(?:great|good|excellent|fantastic|wonderful|interesting|fascinating|awesome) question\b"
    r"|I(?:'d| would|'ll| will|'m| am) (?:be )?(?:more than |very |so )?(?:happy|glad|delighted|pleased) to "
    r"(?:help|assist|provide|share|give|answer)"
    r"|(?:I'm )?happy to help\b"
    r"|thank(?:s| you) for (?:your question|asking|reaching out|your (?:inquiry|interest|message))"
    r")"
)

_OPTION = r"\(?[A-J](?:\)|\b(?=[.:*\s]*$))"
BENCHMARK_WORDING = (
    r"(?m:^#### ?[-$]?\d[\d,.]* *$)"
    r"|(?m:\b(?:final |correct |best |right )?answer is:? ?\**(?:option |choice )?"
    rf"(?:{_OPTION}|[-$]{{0,2}}\d|\$?\\boxed))"
    rf"|(?m:\b(?:final |correct )?answer: ?\**(?:{_OPTION}|\$?\\boxed))"
    r"|\b(?:option|choice) \(?[A-J]\)? is (?:the )?(?:correct|right|best)\b"
    r"|\\boxed\{"
    r"|\(A\) ?[^\n()]{1,200}[\n ]+\(B\) ?\S"
    r"|\?\**\s{1,9}[Aa][.)] [^\n]{1,200}\n\s{0,9}[Bb][.)] [^\n]{1,200}\n\s{0,9}[Cc][.)] "
    rf"|{BENCHMARKS}"
)

_FILLED_IN = (
    r"(?:name|surname|date|address|company|e-?mail|phone|city|state|zip(?: code)?|title|position|recipient|salary"
    r"|amount|organi[sz]ation|school|department|product|signature|employer|manager|age|country|location|insert|your"
    r"|number|website|url|link|role|industry|university|team|client|customer|business|job|street)"
)
PLACEHOLDER = (
    rf"(?<![\w\])'\"!\\])\[(?!\w+ ?[=,])(?:[\w'/#.-]+ ){{0,6}}?{_FILLED_IN}s?(?:['/ ,:;(][^\]\[\n]{{0,60}})?\]"
    r"(?![(\[:\w='\"])"
    r"|<(?:your|insert|enter)[ _-][\w _'-]{1,40}>"
    r"|\{(?:your|insert|enter)[ _][\w _'-]{1,40}\}"
    r"|(?:#|//|/\*|<!--|--|\*) ?(?-i:TODO|FIXME)\b|\b(?-i:TODO): "
    r"|\blorem ipsum dolor\b"
    r"|\b(?-i:YOUR_[A-Z_]{2,30})\b"
)

_NAMES = (
    "openai", "open ai", "anthropic", "google", "deepmind", " meta", "microsoft", "mistral", "alibaba", "deepseek",
    "xai", "baidu", "moonshot ai", "zhipu", "cohere", "laion", "databricks", "stability ai", "lmsys", "tencent",
    "bytedance", "nous research", "hugging", "technology innovation", " tii", "allen institute", "ai2", "01.ai",
    "eleutherai", "inflection", " ibm", "nvidia", "gpt", "bing chat", "llama", "mixtral", "qwen", "tongyi", "grok",
    "chatglm", "baichuan", "openassistant", "open assistant", "palm", "lamda", "vicuna", "ernie bot", "kimi", "gemma",
    "tulu", "olmo", "stablelm", "claude", "gemini", "bard", "copilot", "falcon", "alpaca", "koala", "dolly", "zephyr",
    "hermes", "'m pi", "am pi", "is pi", "pi here",
)  # fmt: skip
_OF_CUT_OFFS = (
    "cutoff", "cut-off", "cut off", "my last", "my latest", "my most recent", "my current", "my own", "my knowledge",
    "my training", "my data", "my information", "i was ", "i am ", "i have been ", "i do not ", "i don't ", "i don’t ",
    "i cannot ", "i can't ", "i can’t ",
)  # fmt: skip
_OF_BENCHMARKS = (
    "####", "answer is", "answer:", "is correct", "is the", "is right", "is best", "boxed{", "(a)", "a. ", "a) ",
    "gsm8k", "mmlu", "gpqa", "agieval", "humaneval", "truthfulqa", "big-bench", "hellaswag", "harmbench", "xstest",
    "strongreject",
)  # fmt: skip
_OF_GAPS = (
    "[", "<your", "<insert", "<enter", "{your", "{insert", "{enter", "todo", "fixme", "lorem ipsum dolor", "your_",
)  # fmt: skip
CONTENT_PATTERNS = {
    "maker identity": (MAKER_IDENTITY, _NAMES),
    "cut-off date": (CUT_OFF, _OF_CUT_OFFS),
    "canned opening": (CANNED_OPENING, ()),
    "benchmark wording": (BENCHMARK_WORDING, _OF_BENCHMARKS),
    "placeholder": (PLACEHOLDER, _OF_GAPS),
}
"""Matcher → its pattern, and texts in lower case of which a match holds one (none: no look before it)."""
