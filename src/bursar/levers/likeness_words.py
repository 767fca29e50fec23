"""The words that likeness is judged by: rows, no rules. English; a little of some other languages.

Each table says words that mean the same wherever they stand, or words that change a meaning. A row
belongs here only if it holds in every sentence: what is doubtful is left out, and then two prompts
are simply asked both.
"""

from __future__ import annotations


def _rows(text: str) -> dict[str, str]:
    """Lines `meaning: word word`, as word -> meaning."""
    found: dict[str, str] = {}
    for line in text.strip().splitlines():
        meaning, _, words = line.partition(":")
        found |= dict.fromkeys(words.split(), meaning.strip())
    return found


FUNCTION = frozenset(
    """a an the is are was were do does did can could should would will may must have has what who
    whom whose which when where why how to of in on at for from with by i you we they it my your me
    not and or if that this these please list show give tell explain write send name find compare
    define summarise summarize describe turn help book plan set wait convert""".split()
)
"""Words of English sentences."""
SHARED = frozenset("a an do me in i on is was of we at by my if it as has had men so".split())
"""Of these, those that other languages have as well."""
FOREIGN = frozenset(
    """der den dem das und ist sind ein eine einen einem wie wo wann warum wer welche mein meine
    ich sie wir ihr nicht kein keine auf mit zu im zum zur von bei nach aus oder auch kann muss
    le la les un une des du de est sont que qui quel quelle je tu il elle nous vous ma mes pas
    dans sur avec et ou ne au aux comment quand pourquoi el los las una del al es son como
    cuando donde por para mi su hay puedo quiero lo gli che di da sono il mio come dove
    quando posso vorrei os um uma em na nos dos qual onde quanto meu minha vou het een wat
    waar wanneer ik je mijn zijn dat niet en och att det som hur jag inte en ett og jeg kan
    hva hvor ikke""".split()
)
"""Words of sentences in other languages that are written without accents."""

AUXILIARIES = frozenset(
    "am is are was were be been do does did can could should would will shall may might must"
    " have has had".split()
)
"""Their order counts and not their place: `what it is` is `what is it`."""
QUESTIONS = frozenset("what who whom whose which when where why how how-to".split())

ARTICLES = frozenset(("a", "an", "the"))
HEAVY = frozenset("time matter number few little lot bit other rest same".split())
"""Nouns that mean another thing with an article: time, the time."""

NEGATIONS = frozenset(
    "not no never none nobody nothing nowhere neither nor without unless except cannot lack lacks"
    " hardly barely excluding besides minus".split()
)
QUANTIFIERS = frozenset(
    """all every each any some both either half most more less least many much few fewer several
    only also too enough exactly about nearly almost completely always often usually rarely
    sometimes first last next previous highest lowest largest smallest oldest youngest minimum
    maximum average median total over under above below than best worst better worse again still
    already yet just even once twice""".split()
)
DIRECTIONS = frozenset(
    """from to into onto out in on off up down before after since until by with without inside
    outside through across for against of between behind left right north south east west back
    forward""".split()
)
PREPOSITIONS = frozenset(
    "in on at for with without through during after before under over from by among within if when"
    " while".split()
)
"""What can open a phrase that stands before the question: In Italy, what is..."""

MEANINGS = _rows(
    """
    buy: purchase
    big: large
    biggest: largest
    fastest: quickest
    quick: fast
    start: begin
    starts: begins
    children: kids
    child: kid
    current: present
    essential: vital
    main: primary
    film: movie
    films: movies
    fix: repair
    get: obtain
    tv: television
    ok: okay o.k
    company: firm
    phone: telephone
    photo: picture
    photos: pictures
    mobile: cellphone
    website: web-site
    email: e-mail
    emails: e-mails
    wifi: wi-fi
    summarise: summarize
    organise: organize
    analyse: analyze
    colour: color
    colours: colors
    favourite: favorite
    theatre: theater
    centre: center
    licence: license
    travelling: traveling
    cancelling: canceling
    cancelled: canceled
    programme: program
    metre: meter
    litre: liter
    behaviour: behavior
    catalogue: catalog
    cheque: check
    tyre: tire
    grey: gray
    neighbour: neighbor
    labour: labor
    optimise: optimize
    recognise: recognize
    authorise: authorize
    customise: customize
    defence: defense
    erase: wipe
    """
)
"""Word -> the word that stands for it."""
for _same in ("colour", "programme", "cheque", "photo", "current"):
    MEANINGS.setdefault(_same, _same)

TOLD_WORD_BY_WORD = frozenset(
    """translate translation spell spelled spelling rhyme rhymes letters rewrite rephrase
    paraphrase proofread uppercase lowercase capitalize capitalise pronounce pronunciation regex
    repeat grammar synonym synonyms antonym say word words characters text sentence quote variable
    correct complete""".split()
)
"""A prompt with one of them may be about its own words: every one of them counts then."""

SEVERAL_MEANINGS = frozenset(
    """us it who may march august turkey china polish apple amazon nice reading bath mobile rust go
    swift java python ruby ace aids pin sim ram rom led cat mad sad act arm star sat sun mon bill
    mark frank grant jack will rose hope faith grace guinea jersey cuba panama chile jordan chad
    georgia job oracle slack zoom teams word access excel outlook windows meta alphabet shell
    target gap orange sprint ford dodge visa discover discovery chase monday tide time people
    fortune nature science""".split()
)
"""Words that mean one thing in capitals and another without."""

NUMBERS = {
    word: number
    for number, word in enumerate(
        """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
        fifteen sixteen seventeen eighteen nineteen""".split()
    )
}
TENS = {
    word: number * 10
    for number, word in enumerate(
        "twenty thirty forty fifty sixty seventy eighty ninety".split(), 2
    )
}
SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
ORDINALS = {
    word: number
    for number, word in enumerate(
        """first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth
        thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth
        """.split(),
        1,
    )
}

UNITS = _rows(
    """
    km: km kilometre kilometres kilometer kilometers kms
    m: m metre metres meter meters
    cm: cm centimetre centimetres centimeter centimeters
    mm: mm millimetre millimetres millimeter millimeters
    mile: mile miles
    ft: ft foot feet
    inch: inch inches
    kg: kg kgs kilogram kilograms kilo kilos
    g: g gram grams gramme grammes
    mg: mg milligram milligrams
    lb: lb lbs
    oz: oz ounce ounces
    l: l L litre litres liter liters
    ml: ml mL millilitre millilitres milliliter milliliters
    s: s sec secs seconds
    minute: min mins minute minutes
    h: h hr hrs hour hours
    day: day days
    week: week weeks
    month: month months
    year: year years yrs
    ms: ms millisecond milliseconds
    KB: KB
    kB: kB
    MB: MB megabyte megabytes
    Mb: Mb
    GB: GB gigabyte gigabytes
    Gb: Gb
    TB: TB terabyte terabytes
    degC: C °C celsius
    degF: F °F fahrenheit
    W: W watt watts
    kW: kW kilowatt kilowatts
    V: V volt volts
    A: A amp amps ampere amperes
    K: K kelvin
    %: % percent
    dollar: dollar dollars
    euro: euro euros
    yen: yen
    mph: mph
    """
)
"""A unit behind a number; capitals count."""
CURRENCIES = {"$": "dollar", "€": "euro", "£": "pound-sterling", "¥": "yen-sign"}

MONTHS = {
    word: number
    for number, words in enumerate(
        (
            *("january jan", "february feb", "march mar", "april apr", "may", "june jun"),
            *("july jul", "august aug", "september sep sept", "october oct", "november nov"),
            "december dec",
        ),
        1,
    )
    for word in words.split()
}
LONG_MONTHS = {
    number: word for word, number in reversed(MONTHS.items()) if len(word) > 3 or number == 5
}
WEEKDAYS = {
    "Mon": "monday",
    "Tue": "tuesday",
    "Tues": "tuesday",
    "Wed": "wednesday",
    "Thu": "thursday",
    "Thur": "thursday",
    "Thurs": "thursday",
    "Fri": "friday",
    "Sat": "saturday",
    "Sun": "sunday",
}

REQUESTS = frozenset(
    """tell explain give help list show summarise summarize write draft send find describe name
    recommend suggest provide compare create make convert calculate check define book plan set
    generate draw""".split()
)
"""What one asks an assistant to do: `can you write` is `write`."""
NOT_ANYONE = frozenset("feel work know think look mean like see do sleep say live".split())
"""`How do you feel` is no question about how one feels."""
MOVING = frozenset("turn switch set put pick shut take log sign back".split())
PARTICLES = frozenset("on off up down out in".split())

FORMAL = frozenset("Sie Ihr Ihre Ihnen Ihren Ihrem Ihrer Ihres Lei Usted".split())
"""Words of other languages whose capital means somebody else."""
COURTESIES = (
    *("bitte", "danke", "vielen dank", "s'il vous plaît", "s'il te plaît", "merci", "por favor"),
    *("gracias", "per favore", "per piacere", "grazie", "obrigado", "obrigada", "alstublieft"),
    *("tack", "пожалуйста", "спасибо"),
)
