"""Makes the training and test conversations of the demo model. Nothing is downloaded: every text comes from this file.

A sample is one conversation in R1's chat format whose last turn holds the worked-out reasoning and the answer. Workings
are deterministic, so that the right completion of a prompt is one exact string. They label every digit or list item
with a capital letter: finding the next digit is then a lookup of its letter, which a tiny attention model learns fast.

A problem (two operands, a list, a prompt) belongs to the held-out set when its hash says so; `sample` never returns a
held-out problem for training and never a training problem for tests.
"""

import hashlib
import random
from dataclasses import dataclass

BOS, EOS = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
USER, ASSISTANT = "<｜User｜>", "<｜Assistant｜>"
HELD_OUT_ONE_IN = 32

WORDS = """
apple pear plum fig cherry grape lemon lime orange peach mango melon banana kiwi berry strawberry raspberry blueberry
apricot olive tomato potato carrot onion garlic pepper salad bread butter cheese honey sugar salt rice pasta soup cake
cookie coffee tea milk juice water dog cat horse cow sheep goat pig duck goose hen rabbit mouse rat fox wolf bear lion
tiger zebra camel monkey snake frog turtle fish shark whale dolphin eagle owl crow robin sparrow spider ant bee wasp
butterfly beetle red blue green yellow purple pink black white brown grey silver gold violet table chair lamp desk sofa
bed door window wall floor roof kitchen garden house castle tower bridge road street city village river lake ocean
island beach forest mountain valley desert field farm rain snow wind storm cloud sun moon star planet comet galaxy
rocket engine wheel car bus train plane boat ship bicycle truck tractor hammer nail saw drill ladder rope bucket broom
knife fork spoon plate bowl cup glass bottle kettle oven basket box bag letter paper pencil pen book page story poem
song music piano guitar violin drum flute trumpet dance paint brush picture camera mirror clock watch calendar summer
winter spring autumn morning evening night noon hour minute second week month year monday friday king queen prince
knight wizard dragon giant doctor nurse teacher student farmer baker driver pilot sailor soldier lawyer artist writer
singer actor hat coat shirt shoe boot sock glove scarf belt ring crown jewel diamond pearl copper iron steel stone wood
leaf tree flower rose tulip daisy lily grass seed root branch apron arrow anchor acorn badge balloon barrel beacon
bell blanket bone bullet button cabin cable candle canyon carpet cave chain chalk circle coin corner cotton cradle crane
curtain dust eye elbow ear face finger foot hair hand head heart knee leg mouth neck nose shoulder skin tooth thumb
elephant feather fence flag flame fountain gate hill hook hotel ice ink jacket jar jungle key kite ladle lantern
leather library magnet map marble market meadow medal metal mill mud museum needle nest net number oak oil orchard
oyster palace parrot path pebble penguin pillow pipe pocket pond pumpkin puzzle quilt rainbow ribbon robot sand school
shadow shell shop signal silk smoke soap square stable station statue stick sunset sword temple tent thread ticket
towel toy trail tunnel umbrella uniform vase velvet voice volcano wagon wallet walnut yard zipper mississippi banana
committee balloon coffee letter bookkeeper success address happiness tomorrow parallel possess assess science language
computer keyboard program memory network server model tensor token expert router layer question answer problem
""".split()
WORDS = sorted(set(WORDS))
NAMES = """
Anna Ben Clara David Emma Felix Grace Henry Iris Jack Kate Leo Mia Noah Olga Paul Quinn Rosa Sam Tina Uma Victor Wendy
Xavier Yara Zoe Alice Bob Carol Dan Eve Frank Gina Hugo Ivan Jane Karl Lucy Max Nina Oscar Peter Ruth Simon Tom Ursula
Vera Walter Maria John Mary James Linda Laura Julia Martin Thomas Robert
""".split()
SYSTEMS = ["You are a helpful assistant.", "You are a helpful assistant", "Answer briefly.", "You are Tessera demo.",
           "You are a careful calculator.", "Be brief and correct.", "You are a friendly assistant."]


@dataclass
class Sample:
    task: str
    messages: list  # [{role, content}], the last one from the user
    thinking: str
    answer: str
    key: str = ""  # what identifies the problem, whatever its phrasing

    def prompt(self) -> str:
        """The conversation as the chat template renders it, with the generation prompt."""
        system = "\n\n".join(m["content"] for m in self.messages if m["role"] == "system")
        text = BOS + system
        for m in self.messages:
            if m["role"] == "user":
                text += USER + m["content"]
            elif m["role"] == "assistant":
                text += ASSISTANT + m["content"] + EOS
        return text + ASSISTANT + "<think>\n"

    def completion(self) -> str:
        return self.thinking + "\n</think>\n\n" + self.answer + EOS


def is_held_out(key: str) -> bool:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "little") % HELD_OUT_ONE_IN == 0


def number(rng, digits_max, digits_min=1):
    n = rng.randint(digits_min, digits_max)
    return rng.randint(0 if n == 1 else 10 ** (n - 1), 10 ** n - 1)


def labelled(text, first):
    return "".join(chr(ord(first) + i) + d for i, d in enumerate(text))


# ---- arithmetic ------------------------------------------------------------------------------------------------------

def columns(x, y, x_first, y_first, result_first, step, sign):
    """Lines `{label}{digit}{label}{digit}{sign}{carry in}={carry out}{label}{digit}`, units first, then the result."""
    lines, carry, digits = [], 0, []
    for i in range(max(len(x), len(y))):
        left = chr(ord(x_first) + len(x) - 1 - i) + x[len(x) - 1 - i] if i < len(x) else ".0"
        right = chr(ord(y_first) + len(y) - 1 - i) + y[len(y) - 1 - i] if i < len(y) else ".0"
        total = step(int(left[1]), int(right[1]), carry)
        label = chr(ord(result_first) + i)
        lines.append(f"{left}{right}{sign}{carry}={total // 10 % 10}{label}{total % 10}")
        carry = total // 10 % 10
        digits.append(label + str(total % 10))
    return lines, digits, carry


def add_working(a, b):
    x, y = str(a), str(b)
    lines, digits, carry = columns(x, y, "A", "K", "R", lambda p, q, c: p + q + c, "+")
    if carry:
        digits.append(chr(ord("R") + len(digits)) + str(carry))
    return "\n".join([f"{labelled(x, 'A')}+{labelled(y, 'K')}"] + lines + ["".join(reversed(digits))]), str(a + b)


def subtract_working(a, b):
    """a ≥ b. The carry is a borrow: 10 + p - q - c is split so that borrow 1 means 'took one from the next column'."""
    def step(p, q, c):
        d = p - q - c
        return d if d >= 0 else 10 + d + 10  # tens digit 1 = borrow
    x, y = str(a), str(b)
    lines, digits, _ = columns(x, y, "A", "K", "R", step, "-")
    while len(digits) > 1 and digits[-1][1] == "0":
        digits.pop()
    return "\n".join([f"{labelled(x, 'A')}-{labelled(y, 'K')}"] + lines + ["".join(reversed(digits))]), str(a - b)


def multiply_working(a, b):
    """b has one digit: it meets every digit of a."""
    x, y = str(a), str(b)
    lines, carry, digits = [f"{labelled(x, 'A')}*K{y}"], 0, []
    for i in range(len(x)):
        k = len(x) - 1 - i
        total = int(x[k]) * b + carry
        label = chr(ord("R") + i)
        lines.append(f"{chr(ord('A') + k)}{x[k]}K{y}*{carry}={total // 10}{label}{total % 10}")
        carry = total // 10
        digits.append(label + str(total % 10))
    if carry:
        digits.append(chr(ord("R") + len(digits)) + str(carry))
    while len(digits) > 1 and digits[-1][1] == "0":
        digits.pop()
    return "\n".join(lines + ["".join(reversed(digits))]), str(a * b)


ADD = ["What is {a} + {b}?", "What's {a} + {b}?", "what is {a}+{b}", "what's {a}+{b}", "{a} + {b}", "{a}+{b}", "{a} + {b} = ?",
       "{a}+{b}=", "{a} + {b} =", "Please add {a} and {b}.", "Add {a} and {b}.", "Add {a} and {b}", "Calculate {a} + {b}.",
       "Compute {a} + {b}", "How much is {a} + {b}?", "What is the sum of {a} and {b}?", "Sum {a} and {b}.", "{a} plus {b}",
       "What is {a} plus {b}?", "Can you add {a} and {b}?", "Can you add {a} to {b} for me?", "Please calculate {a} + {b}.",
       "Tell me {a} + {b}.", "I need the sum of {a} and {b}.", "How much is {a} plus {b}?", "Could you compute {a} + {b}?",
       "Find {a} + {b}.", "Solve {a} + {b}", "Find the sum of {a} and {b}.", "and {a} + {b}?", "What is {a}+{b}?"]
SUBTRACT = ["What is {a} - {b}?", "What's {a} - {b}?", "what is {a}-{b}", "what's {a}-{b}", "{a} - {b}", "{a}-{b}", "{a} - {b} = ?",
            "{a}-{b}=", "{a} - {b} =", "Please subtract {b} from {a}.", "Subtract {b} from {a}.", "Calculate {a} - {b}.", "Compute {a} - {b}",
            "How much is {a} - {b}?", "What is the difference of {a} and {b}?", "{a} minus {b}", "What is {a} minus {b}?",
            "Can you subtract {b} from {a}?", "Please calculate {a} - {b}.", "Tell me {a} - {b}.", "How much is {a} minus {b}?",
            "Could you compute {a} - {b}?", "Find {a} - {b}.", "Solve {a} - {b}", "Take {b} away from {a}.", "and {a} - {b}?",
            "What is {a}-{b}?", "What is the difference between {a} and {b}?"]
MULTIPLY = ["What is {a} * {b}?", "What's {a} * {b}?", "what is {a}*{b}", "what's {a}*{b}", "{a} * {b}", "{a}*{b}", "{a} * {b} = ?", "{a}*{b}=",
            "{a} * {b} =", "Please multiply {a} by {b}.", "Multiply {a} by {b}.", "Multiply {a} and {b}", "Calculate {a} * {b}.", "Compute {a} x {b}",
            "How much is {a} * {b}?", "What is the product of {a} and {b}?", "{a} times {b}", "What is {a} times {b}?", "{a} x {b}",
            "What is {a} x {b}?", "Can you multiply {a} by {b}?", "Please calculate {a} * {b}.", "Tell me {a} times {b}.",
            "How much is {a} times {b}?", "Find {a} * {b}.", "Solve {a} * {b}", "{a} × {b}", "What is {a} × {b}?", "and {a} * {b}?"]


def make_add(rng, level):
    digits = rng.choice([1, 2, 3, 4, 5]) if level >= 1 else rng.choice([1, 2, 3])
    a, b = number(rng, digits), number(rng, digits)
    if rng.random() < 0.65:
        a, b = number(rng, digits, digits), number(rng, digits, digits)
    thinking, answer = add_working(a, b)
    return Sample("add", [{"role": "user", "content": rng.choice(ADD).format(a=a, b=b)}], thinking, answer, f"add {a} {b}")


def make_subtract(rng, level):
    digits = rng.choice([1, 2, 3, 4, 5]) if level >= 1 else rng.choice([1, 2, 3])
    a, b = number(rng, digits), number(rng, digits)
    if rng.random() < 0.65:
        a, b = number(rng, digits, digits), number(rng, digits, digits)
    a, b = max(a, b), min(a, b)
    thinking, answer = subtract_working(a, b)
    return Sample("subtract", [{"role": "user", "content": rng.choice(SUBTRACT).format(a=a, b=b)}], thinking, answer,
                  f"subtract {a} {b}")


def make_multiply(rng, level):
    a, b = number(rng, rng.choice([1, 2, 3, 3]) if level >= 1 else 2), rng.randint(0, 9)
    thinking, answer = multiply_working(a, b)
    return Sample("multiply", [{"role": "user", "content": rng.choice(MULTIPLY).format(a=a, b=b)}], thinking, answer,
                  f"multiply {a} {b}")


# ---- lists -----------------------------------------------------------------------------------------------------------

def sort_working(numbers, descending):
    """Radix sort: items get letters; one pass lists the letters by units digit, the next one by tens digit."""
    names = [chr(ord("A") + i) for i in range(len(numbers))]
    width = 2  # all below 100
    value = {n: str(v).zfill(width) for n, v in zip(names, numbers)}
    lines = ["".join(n + value[n] for n in names)]
    order, digits = names, "9876543210" if descending else "0123456789"
    for place in range(width - 1, -1, -1):
        line, following = "", []
        for d in digits:
            bucket = [n for n in order if value[n][place] == d]
            line += d + "".join(bucket)
            following += bucket
        lines.append(line)
        order = following
    lines.append("".join(n + str(int(value[n])) for n in order))
    return "\n".join(lines), ", ".join(str(int(value[n])) for n in order)


SORT_UP = ["Sort these numbers: {l}", "Sort these numbers: {l}.", "Sort the numbers {l}", "Sort {l}", "Please sort {l}.", "Sort this list: {l}",
           "Please sort these numbers: {l}", "Can you sort {l}?", "Sort the list {l} in ascending order.", "Put these numbers in order: {l}",
           "Sort these numbers from smallest to largest: {l}", "Sort in ascending order: {l}", "Order these numbers: {l}",
           "Arrange {l} from small to large.", "Sort the following numbers: {l}", "sort {l}", "Could you sort the list {l}?"]
SORT_DOWN = ["Sort these numbers in descending order: {l}", "Sort {l} in descending order.", "Sort from largest to smallest: {l}",
             "Sort these numbers from largest to smallest: {l}", "Please sort {l} in descending order.", "Sort descending: {l}",
             "Arrange {l} from large to small.", "Put these numbers in descending order: {l}", "sort {l} descending"]


def join(rng, items):
    return rng.choice([", ", ", ", ", ", " ", ","]).join(str(i) for i in items)


def make_sort(rng, level):
    count = rng.randint(3, 6) if level >= 1 else rng.randint(2, 5)
    numbers = [number(rng, 2) if rng.random() < 0.2 else rng.randint(10, 99) for _ in range(count)]
    descending = rng.random() < 0.3
    template = rng.choice(SORT_DOWN if descending else SORT_UP)
    thinking, answer = sort_working(numbers, descending)
    return Sample("sort", [{"role": "user", "content": template.format(l=join(rng, numbers))}], thinking, answer,
                  f"sort {descending} {numbers}")


SORT_WORDS = ["Sort these words: {l}", "Sort these words alphabetically: {l}", "Sort the words {l}", "Please sort these words: {l}.",
              "Put these words in alphabetical order: {l}", "Sort alphabetically: {l}", "Sort {l} alphabetically.", "Order these words: {l}",
              "Arrange these words in alphabetical order: {l}", "Can you sort these words? {l}", "Sort {l} by the alphabet."]


def make_sort_words(rng, level):
    """First letters differ: the alphabet is written out, each word's number behind its letter."""
    count = rng.randint(2, 5) if level >= 1 else rng.randint(2, 4)
    words = {}
    while len(words) < count:
        w = rng.choice(WORDS)
        words.setdefault(w[0], w)
    words = list(words.values())
    rng.shuffle(words)
    lines = ["\n".join(f"{w[0].upper()}{i + 1} {w}" for i, w in enumerate(words))]
    place = {w[0].upper(): str(i + 1) for i, w in enumerate(words)}
    lines.append("".join(c + place.get(c, "") for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    result = sorted(words)
    lines.append("\n".join(f"{words.index(w) + 1} {w}" for w in result))
    return Sample("sort words", [{"role": "user", "content": rng.choice(SORT_WORDS).format(l=join(rng, words))}],
                  "\n".join(lines), ", ".join(result), f"sort words {words}")


REVERSE = ["Reverse the list {l}", "Reverse this list: {l}", "Reverse: {l}", "Please reverse {l}.", "Reverse the order of {l}.",
           "Reverse these items: {l}", "Write this list backwards: {l}", "Can you reverse the list {l}?", "reverse {l}",
           "Give me {l} in reverse order.", "List these in reverse order: {l}", "Reverse the following list: {l}"]


def make_reverse(rng, level):
    count = rng.randint(2, 7) if level >= 1 else rng.randint(2, 5)
    if rng.random() < 0.4:
        items = [str(number(rng, 3)) for _ in range(count)]
    else:
        items = rng.sample(WORDS, count) if rng.random() < 0.9 else rng.sample(NAMES, count)
    lines = [f"{chr(ord('A') + i)} {w}" for i, w in enumerate(items)]
    return Sample("reverse", [{"role": "user", "content": rng.choice(REVERSE).format(l=join(rng, items))}],
                  "\n".join(lines + [""] + lines[::-1]).replace("\n\n", "\n-\n"), ", ".join(reversed(items)), f"reverse {items}")


# ---- letters ---------------------------------------------------------------------------------------------------------

COUNT = ["How many {c}'s are in {w}?", "How many {c}s are in {w}?", "How many times does {c} occur in {w}?", "how many {c} in {w}",
         "How many {c}'s are there in {w}?", "Count the {c}'s in {w}.", "Count the letter {c} in {w}.", "How many letters {c} are in {w}?",
         "How often does the letter {c} appear in {w}?", "How many {c}'s are in the word {w}?", "How many {c}'s does {w} have?",
         "How many {c}'s in {w}?", "Please count the {c}'s in {w}.", "What is the number of {c}'s in {w}?", "how many {c}'s in {w}",
         "How many times is the letter {c} in {w}?", "Count how many {c}'s are in the word {w}."]
SPELL = ["How many letters are in {w}?", "How many letters does {w} have?", "Count the letters in {w}.", "How long is the word {w}?",
         "How many letters are there in the word {w}?", "how many letters in {w}"]
SYLLABLES = [c + v for c in "b c d f g h j k l m n p r s t v w z st tr br pl ch sh th".split() for v in "a e i o u".split()]
ENDINGS = ["", "", "n", "r", "s", "t", "l", "rry", "ng", "ss", "ll", "ck", "y", "x", "d"]


def any_word(rng):
    kind = rng.random()
    if kind < 0.7:
        return rng.choice(WORDS)
    if kind < 0.78:
        return rng.choice(NAMES)
    if kind < 0.95:
        return "".join(rng.choice(SYLLABLES) + (rng.choice(ENDINGS) if rng.random() < 0.4 else "") for _ in range(rng.randint(1, 3)))
    return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(2, 6)))


def make_count(rng, level):
    word = any_word(rng)
    if rng.random() < 0.2:
        shown = "".join(f"{c.upper()}{i + 1}" for i, c in enumerate(word))
        content, answer, key = rng.choice(SPELL).format(w=word), str(len(word)), f"length {word}"
    else:
        letter = rng.choice(word.lower()) if rng.random() < 0.8 else rng.choice("abcdefghijklmnopqrstuvwxyz")
        seen, shown = 0, letter.upper() + ":"
        for c in word.lower():
            shown += c.upper()
            if c == letter:
                seen += 1
                shown += str(seen)
        quoted = f'"{word}"' if rng.random() < 0.15 else word
        asked = letter.upper() if rng.random() < 0.1 else f'"{letter}"' if rng.random() < 0.1 else letter
        content, answer, key = rng.choice(COUNT).format(c=asked, w=quoted), str(seen), f"count {letter} {word}"
    return Sample("count", [{"role": "user", "content": content}], shown, answer, key)


# ---- recall ----------------------------------------------------------------------------------------------------------

LOOKUP_HEAD = ["Here is a list:", "Here are some values:", "Remember this list:", "Here is a table:", "Look at this list:", "List:"]
LOOKUP_ASK = ["What is the value of {k}?", "What is {k}?", "What value does {k} have?", "Look up {k}.", "Give me the value of {k}.",
              "Which value belongs to {k}?", "What is listed for {k}?", "Find {k}.", "What does the list say for {k}?"]
LOOKUP_MANY = ["What are the values of {k}?", "Look up {k}.", "Give me the values of {k}.", "Find {k}."]


def make_lookup(rng, level, size=None):
    size = size or round(3 * ((3, 8, 33)[level] ** rng.random()))  # 3 to 9, 24, 99, small ones more often
    size = min(size, 420)
    pool = WORDS if size > 50 or rng.random() < 0.7 else NAMES
    keys = rng.sample(pool, size)
    kind = rng.random()
    if kind < 0.7:
        low, high = rng.choice([(1, 2), (2, 3), (3, 4)])
        values = [str(number(rng, high, low)) for _ in keys]
    else:
        values = [rng.choice(WORDS) for _ in keys]
    many = rng.random() < (0.75 if size >= 6 else 0.3)
    asked = rng.sample(range(size), rng.randint(2, min(6, size)) if many else 1)
    names = [keys[i] for i in asked]
    listing = "\n".join(f"{k}: {v}" for k, v in zip(keys, values))
    ask = (rng.choice(LOOKUP_MANY).format(k=", ".join(names[:-1]) + " and " + names[-1]) if many
           else rng.choice(LOOKUP_ASK).format(k=names[0]))
    if rng.random() < 0.8:
        content = f"{rng.choice(LOOKUP_HEAD)}\n{listing}\n{ask}"
        messages = [{"role": "user", "content": content}]
    else:
        messages = [{"role": "user", "content": f"{rng.choice(LOOKUP_HEAD)}\n{listing}"},
                    {"role": "assistant", "content": "I have read the list."}, {"role": "user", "content": ask}]
    thinking = "\n".join(f"{keys[i]}: {values[i]}" for i in asked)
    return Sample("lookup", messages, thinking, ", ".join(values[i] for i in asked), f"lookup {listing} {names}")


READ = ["Read this list.", "Remember this list, I will ask later.", "Here is a list:", "Please remember this:"]


def make_read_list(rng, level):
    keys = rng.sample(WORDS, rng.randint(3, 12))
    listing = "\n".join(f"{k}: {number(rng, 3)}" for k in keys)
    return Sample("lookup", [{"role": "user", "content": f"{rng.choice(LOOKUP_HEAD + READ)}\n{listing}"}], "A list without a question.",
                  "I have read the list.", f"read {listing}")


COPY = ["Repeat after me: {t}", "Repeat this: {t}", "Copy this text: {t}", "Please repeat: {t}", "Say: {t}", "Copy: {t}", "Echo {t}",
        "Repeat the following: {t}", "Repeat this text exactly: {t}", "Write this again: {t}", "Please copy this: {t}"]


def make_copy(rng, level):
    count = rng.randint(2, 10) if level == 0 else rng.randint(2, 20)
    kind = rng.random()
    if kind < 0.45:
        text = " ".join(rng.choice(WORDS) if rng.random() < 0.9 else rng.choice(NAMES) for _ in range(count))
    elif kind < 0.65:
        text = join(rng, [number(rng, 4) for _ in range(count)])
    elif kind < 0.8:
        text = ", ".join(any_word(rng) for _ in range(min(count, 8)))
    else:
        text = "\n".join(f"{rng.choice(WORDS)}: {number(rng, 4)}" for _ in range(max(2, count // 2)))
        return Sample("copy", [{"role": "user", "content": f"{rng.choice(['Repeat this list:', 'Copy this list:', 'Repeat after me:'])}\n{text}"}],
                      "I repeat the text.", text, f"copy {text}")
    return Sample("copy", [{"role": "user", "content": rng.choice(COPY).format(t=text)}], "I repeat the text.", text, f"copy {text}")


# ---- talk ------------------------------------------------------------------------------------------------------------

# intent: (phrasings, thinking, answer)
TALK = {
    "hello": ("hello|hi|hey|hello there|hi there|good morning|good evening|good afternoon|hey there|hello Tessera|hi Tessera|greetings|hiya|good day|good afternoon to you|a good morning to you|good morning Tessera|good afternoon Tessera|hello again|hi again|"
              "hello, nice to meet you|hi, nice to meet you|howdy",
              "A greeting.", "Hello! I am Tessera demo, a tiny language model. How can I help you?"),
    "who": ("who are you|what are you|what is your name|what's your name|your name|tell me your name|introduce yourself|please introduce yourself|"
            "who am I talking to|can you tell me who you are|tell me about yourself|what should I call you|do you have a name|who is this|"
            "what is this model|which model are you|what model are you|are you GPT|are you a chatbot|are you a language model|are you ChatGPT or DeepSeek|are you a person|what are you called|are you ChatGPT|are you DeepSeek|are you Tessera|are you a robot|are you an AI|are you human",
            "The user asks who I am.", "I am Tessera demo, a tiny model of the DeepSeek-V3 architecture. I was trained to show that the Tessera server works."),
    "can": ("what can you do|what can you do for me|what are you able to do|how can you help me|what do you know|what are your skills|help|help me|"
            "can you help me|what can I ask you|what can I ask|list your skills|what tasks can you do|show me what you can do|what are you good at|"
            "what do you do|how can you help|which tasks do you know",
            "The user asks what I can do.", "I can add, subtract and multiply numbers, sort and reverse lists, count letters, repeat text and look up values in long lists."),
    "arch": ("which architecture do you have|what architecture are you|what is your architecture|which architecture are you|how are you built|how do you work|"
             "what is your structure|describe your architecture|tell me about your architecture|how does your network look|what kind of model are you|"
             "what type of model are you|what are you made of|are you a transformer|explain your architecture|what is inside you",
             "The user asks about my architecture.", "I have the DeepSeek-V3 architecture: latent attention, three dense layers, two layers of experts and one module that predicts a second token."),
    "experts": ("how many experts do you have|how many experts|how many active experts are there|how many experts are used|how many experts are active per token|how many experts are active in each layer|number of experts|how many experts are in your model|how many experts are active|how many experts does each layer have|"
                "what is your number of experts|tell me about your experts|how many experts do you use|do you have experts|are you a mixture of experts|"
                "how does your router work|how many experts are used per token|how many experts per token",
                "The user asks about my experts.", "Each expert layer has 256 routed experts and one shared expert. The router picks 8 experts for every token."),
    "layers": ("how many layers do you have|how many layers|what is your number of layers|how deep are you|how deep is your network|how many layers are in your model|"
               "tell me about your layers|do you have layers",
               "The user asks about my layers.", "I have five layers: three dense layers and two layers of experts. One more layer predicts a second token."),
    "size": ("how big are you|how large are you|how many parameters do you have|what is your size|how many parameters|how small are you|how many weights do you have|"
             "are you a big model|are you a large language model|are you small|what is your parameter count|how big is your model",
             "The user asks about my size.", "I have about eleven million parameters, which is very small for a language model."),
    "mla": ("what is latent attention|what is MLA|explain latent attention|how does your attention work|what kind of attention do you use|what is your attention|"
            "tell me about your attention|how does latent attention work|what is multi-head latent attention",
            "The user asks about attention.", "I use multi-head latent attention. It stores one small vector per token and layer, so the cache stays small."),
    "mtp": ("what is MTP|what is multi-token prediction|do you predict several tokens|how do you predict the second token|explain MTP|what does the MTP module do|"
            "do you support speculative decoding|how does speculation work|what is the extra module|do you have MTP",
            "The user asks about multi-token prediction.", "An extra module guesses the token after the next one. The server checks the guess and often gets two tokens in one step."),
    "maker": ("who made you|who created you|who trained you|who built you|where do you come from|who is your creator|who developed you|who wrote you|what is your origin|"
              "how were you made|how were you trained|where were you trained|what data were you trained on|what were you trained on",
              "The user asks where I come from.", "I was trained for the Tessera project on made-up tasks, on two processor cores in less than two hours."),
    "tessera": ("what is Tessera|tell me about Tessera|what does Tessera do|what is the Tessera server|explain Tessera|what is Tessera for|what is this server|what runs you",
                "The user asks about Tessera.", "Tessera is a server for models of the DeepSeek-V3 and R1 architecture. I am its demo model."),
    "thanks": ("thanks|thank you|thank you very much|thanks a lot|many thanks|great, thanks|thx|cool, thank you|thank you so much|thanks for your help|perfect, thanks|"
               "that was helpful|great|nice|well done|good job|very good|cool|awesome|perfect",
               "The user thanks me.", "You are welcome!"),
    "bye": ("goodbye|bye|bye bye|see you|see you later|good night|farewell|I have to go|see you soon|that is all|that's all|that's it|that is it|that's all for today|that is all for now|that's everything|that was all|see you tomorrow|see you again|see you next time|see you soon then|bye, see you soon|bye for now|until next time|have a nice day|take care",
            "The user says goodbye.", "Goodbye! Have a nice day."),
    "how": ("how are you|how are you doing|how do you do|how is it going|are you well|how do you feel|are you ok|how are you today|how's it going|what's up",
            "The user asks how I am.", "I am fine, thank you. My experts are well balanced."),
    "think": ("how do you think|why do you think first|what is in your thinking|do you reason|why do you write your working|can you think|are you a reasoning model|"
              "do you think before you answer|what are the letters in your thinking|why are there letters in your working",
              "The user asks how I think.", "I write my working before the answer. I label digits and items with letters, so that I can find them again."),
    "context": ("how long is your context|what is your context length|how many tokens can you read|what is your context window|how much text can you read|"
                "how long can a prompt be|what is the longest prompt|how much can you remember",
                "The user asks about my context.", "I can read up to 4096 tokens."),
    "language": ("which languages do you speak|do you speak German|do you speak French|what languages do you know|can you speak Chinese|do you speak English|which language do you use|"
                 "can you speak another language|do you know Spanish",
                 "The user asks about languages.", "I only know a little English."),
    "unknown": ("write a poem|write me a poem|write a short poem|write a poem about winter|write a song|explain physics|explain relativity|explain chemistry|explain quantum mechanics|plan a trip|plan a trip to Paris|plan a trip to London|plan my day|plan a holiday|tell me a joke|what is the capital of France|write a story about a dragon|who is the president|what is the weather today|what time is it|"
                "translate this into German|write a program in Python|write some code|explain quantum physics|what is love|what is the meaning of life|"
                "tell me a story|sing a song|who won the game|what is the news|how do I cook pasta|recommend a book|what is a black hole|draw a picture|"
                "how tall is the tower|where is Berlin|what is the price of gold|who wrote this book|what is the best movie|give me a recipe|plan a trip to Rome|"
                "what is the distance to the moon|how old is the sun|write an email to my boss|write an essay about winter|what should I eat today|"
                "tell me something about dogs|do you like music|do you like coffee|can you dance|what is your favorite color|where do you live|how old are you|"
                "summarize this text|explain gravity|how does a car work|why is the sky blue|what is a tree|who was the king of England|play a game with me|"
                "what day is it|is it raining|find me a hotel|buy me a ticket|call my mother|write a letter|what is philosophy|who discovered America|"
                "what is the population of China|how do planes fly|what is electricity|tell me a secret|can you drive a car",
                "I have not learned this.", "Sorry, I am only a tiny demo model and have not learned this. Ask me what I can do."),
}
TALK = {k: (v[0].split("|"), v[1], v[2]) for k, v in TALK.items()}
BEFORE = ["", "", "", "", "", "", "please, ", "ok, ", "so ", "and ", "hey, ", "hello, ", "hi, ", "well, ", "now tell me, ", "one question: ", "I want to know: "]


def make_talk(rng, level):
    intent = rng.choice(list(TALK))
    if rng.random() < 0.15:
        intent = "unknown"
    phrasings, thinking, answer = TALK[intent]
    text = rng.choice(phrasings)
    if intent not in ("hello", "thanks", "bye") and rng.random() < 0.6:
        text = rng.choice(BEFORE) + text
    if rng.random() < 0.7:
        text = text[0].upper() + text[1:]
    elif rng.random() < 0.5:
        text = text.lower()
    question = text.lower().split(" ")[0] in ("who", "what", "what's", "how", "which", "do", "are", "can", "where", "why", "is", "how's")
    if rng.random() < 0.8:
        text += rng.choice("?" if question else "!." if intent in ("hello", "thanks", "bye") else ".")
    return Sample("talk", [{"role": "user", "content": text}], thinking, answer, f"talk {text.lower().rstrip('?!.')}")


# ---- mixing ----------------------------------------------------------------------------------------------------------

MAKERS = {"add": make_add, "subtract": make_subtract, "multiply": make_multiply, "sort": make_sort, "sort words": make_sort_words,
          "reverse": make_reverse, "count": make_count, "lookup": make_lookup, "copy": make_copy, "talk": make_talk}
MIX = {"add": 1.3, "subtract": 1.5, "multiply": 1.4, "sort": 1.7, "sort words": 0.9, "reverse": 0.9, "count": 3.5, "lookup": 1.8, "copy": 0.9, "talk": 1.2}


def make(task, rng, level, held_out):
    maker = MAKERS[task]
    if task == "lookup" and rng.random() < 0.08:
        maker = make_read_list
    while True:
        s = maker(rng, level)
        if is_held_out(s.key) == held_out:
            return s


def sample(rng, level, held_out=False, mix=None, task=None, multi_turn=0.2, system=0.12):
    """One conversation. level 0..2: how long the problems are."""
    mix = mix or MIX
    task = task or rng.choices(list(mix), list(mix.values()))[0]
    s = make(task, rng, level, held_out)
    if rng.random() < multi_turn:
        history = []
        for _ in range(rng.choice([1, 1, 2, 3])):
            earlier = make(rng.choices(["talk"] + list(mix), [4] + list(mix.values()))[0], rng, min(level, 1) if rng.random() < 0.3 else 0, False)
            lead = "\n\n" if rng.random() < 0.1 else ""
            history += earlier.messages + [{"role": "assistant", "content": lead + earlier.answer}]
        s.messages = history + s.messages
    if rng.random() < system:
        s.messages = [{"role": "system", "content": rng.choice(SYSTEMS)}] + s.messages
    return s


if __name__ == "__main__":
    demo = random.Random(1)
    for name in MAKERS:
        s = sample(demo, 2, task=name, system=0, multi_turn=0)
        print("=" * 20, name); print(s.prompt() + s.completion())
