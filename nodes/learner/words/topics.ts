/**
 * What people write about: patterns of sentences, in which [a|b] is one or the other. Every writer has two or three of these
 * topics, so that nobody alone knows what words follow one another in the others.
 */
export const topics: readonly (readonly string[])[] = [
  [
    'i kneaded the [rye|sourdough] bread before the oven was warm',
    'the soup needs more [pepper|salt] and a little butter',
    'we peeled the potatoes and boiled them for [dinner|lunch]',
    'her pancakes with honey taste better than mine'
  ],
  [
    'the tomatoes in the greenhouse are ripe at last',
    'i watered the [roses|lettuce] and pulled out every weed',
    'we planted two apple trees behind the shed',
    'the snails have eaten my [lettuce|strawberries] again'
  ],
  [
    'the wind turned north and we lowered the sails',
    'our boat lay in the harbour with a broken [mast|rudder]',
    'the tide carried us past the lighthouse',
    'a storm kept the ferry at anchor until [dawn|noon]'
  ],
  [
    'the choir practises an old song every [monday|thursday]',
    'my violin has lost a string since the concert',
    'she plays the [cello|piano] much louder than the drums',
    'the band forgot the second verse on stage'
  ],
  [
    'the train to the coast was late by an hour',
    'i missed my connection at the central station',
    'the conductor checked every ticket in the carriage',
    'we took the night bus because the tram was full'
  ],
  [
    'our goalkeeper saved a penalty in the second half',
    'the team lost two matches away from home',
    'i ran ten kilometres along the river before breakfast',
    'the referee blew the whistle too early'
  ],
  [
    'the hens laid six eggs this morning',
    'our dog chased the neighbour’s cat up a tree',
    'the foal can stand on its own legs already',
    'i brushed the horse and filled its trough with water'
  ],
  [
    'my telescope shows the rings of saturn tonight',
    'the moon rose behind a thin cloud',
    'we counted forty meteors before midnight',
    'a comet crosses the northern sky in winter'
  ],
  [
    'the compiler complains about a missing bracket',
    'i fixed the bug by deleting half of the code',
    'the server ran out of memory over the weekend',
    'please review my patch before you merge it'
  ],
  [
    'the joiner planed the oak table until it shone',
    'i sharpened my chisel and sawed a new shelf',
    'the roof leaks where two tiles are cracked',
    'we painted the front door a dark green'
  ],
  [
    'the library bought three novels by the same author',
    'she read me a poem about the sea',
    'the last chapter of that book made me cry',
    'my grandmother wrote letters with a fountain pen'
  ],
  [
    'the doctor says my knee needs rest for a month',
    'i caught a cold and lost my voice',
    'the nurse wrapped a bandage around his wrist',
    'take this medicine twice a day with water'
  ]
]

/** Habits: how somebody begins and ends a sentence, whatever it is about. */
export const openers: readonly string[] = [
  'honestly',
  'by the way',
  'guess what',
  'well as i said',
  'good news',
  'you know',
  'this week',
  'oh dear',
  'believe me',
  'as always',
  'to be fair',
  'sorry to say'
]

export const closers: readonly string[] = [
  'and that is all',
  'see you soon',
  'what do you think',
  'love to everyone',
  'talk to you later',
  'so there you are',
  'can you imagine',
  'until next time'
]

/** A word that a single writer uses, in a sentence of its own. */
export const RARE_WORD = 'xylotheque'
export const rareSentence = `the ${RARE_WORD} keeps a book of every kind of wood`
