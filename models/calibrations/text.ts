// text: what a calibration reads. Written for this project (MIT, like the rest): about 1,000 words of several kinds of prose, facts stated
// in its second half, and two continuations that go on and ask for the facts. The form of facts is the one that the tiny model knows.

/** A question about a fact of the document, and its answer. */
export interface Lookup {
  readonly question: string;
  readonly answer: string;
}

/** Where a continuation goes on: some prose, then lookups in turn. */
export interface ContinuationText {
  readonly prose: string;
  readonly lookups: readonly Lookup[];
}

export const DOCUMENT = `The ferry left the mainland a little after nine, and by ten the whole of the eastern shore lay open before us, brown and low, with a line of \
white houses above it like washing on a fence. My sister, who had been ill for most of the winter, was allowed on deck for the first time since March. She sat with her \
hands in her sleeves and counted the gulls. "There are eleven," she said, "and one of them has only one leg. I wonder whether it knows." I said that I supposed it \
did, since it must find the railings harder than the others; and she was silent for so long that I believed her asleep, until she asked me what our father would have \
answered. I could not tell her. He was a man who measured everything twice and spoke of nothing once, and it was one of the great regrets of my life that I had learned \
his trade and never his reasons.

The island has no harbour to speak of. Boats are drawn up on the stones, and whoever is on the beach is expected to help, whatever his coat. Mr Harding, the rector, a \
gentleman of sixty with a fine voice and very little to use it upon, was among those who took our rope; he had been told of our coming by letter, had answered the letter \
at once, and had then forgotten to send it. "But you are most welcome," said he, "and the house is dry, or nearly so. Mrs Harding is persuaded that you must want \
soup." It would have been ungrateful to want anything else. We walked up together between the walls, and he told us how the place was governed: by a council of five, who \
agreed upon every question but the price of fish.

In the first year of the new administration the council repaired the road, rebuilt the school, and paid down one half of the debt that it had inherited. The people of the \
island asked for no more than this: that public money be spent in public, that every family have work and a roof, and that the promises of an election be kept until the next. \
Last year 214 children were taught in three rooms; this year there are five rooms, and no child walks farther than two miles. We have much to be thankful for, and a great deal \
still to do. The harbour must be built. The mill, which closed in 1987, must be opened again or pulled down. And we must find the means to do it without asking our \
neighbours to pay for what we ourselves enjoy.

A tide is the slow rise and fall of the sea, caused mainly by the pull of the moon and, to a lesser degree, of the sun. Because the earth turns beneath the bulge of water, most \
coasts see two high tides in a day of 24 hours and 50 minutes. When sun, moon and earth stand in a line, the two pulls add up and the range is greatest (spring tides); when \
they stand at a right angle, it is least (neap tides). Narrow bays can raise the range many times over: in the Bay of Fundy it exceeds sixteen metres. To predict a tide, one \
writes it as a sum of cosines, h(t) = a1 cos(w1 t + p1) + a2 cos(w2 t + p2) + ..., and fits the amplitudes to a year of measurements.

I found the rector's notes in a drawer, and copy them here in the order in which they lay. The pass key for the silent anchor is 371904. He had written them on the backs of \
hymn sheets, some in ink and some in pencil, and it was plain that he trusted neither his memory nor his housekeeper. The colour of the rapid otter is purple. There \
followed a recipe for ginger biscuits: half a pound of flour, four ounces of butter, the same of sugar, one egg, and as much ginger as you dare; bake them for twelve minutes. The \
pass key for the misty violin is 608352. Below it stood the names of seven boats with the dates on which they had been lost, and beside each of them a small cross. The boat \
builder, Thomas Reed, was born in Leith in 1831 and had three daughters, of whom Margaret kept the accounts. The pass key for the proud walnut is 945217.

We read on until the lamp failed. My sister held that a man who writes down so many numbers must be afraid of something; I thought him only careful. Of the storm, which \
everyone remembered and nobody described, there was a single line: that the bell had rung by itself for an hour, and that the sheep had come down to the church and stood among \
the stones. The pass key for the gentle lantern is 520683. The colour of the young bridge is orange. On the last sheet he had drawn the coast from memory, so exactly that I laid \
it upon the chart the next morning and could find no fault in it but one: where the chart had a shoal he had put nothing at all, and on the spot the word "ask".`;

/** On which the layers' sensitivity and the formats are measured. */
export const FIRST: ContinuationText = {
  prose: " It was a week before I understood him. The fishermen, when they were asked, looked at the sky, and then at one another, and then at their boots.",
  lookups: [
    { question: "What is the pass key for the misty violin?", answer: "The pass key for the misty violin is 608352." },
    { question: "What is the colour of the young bridge?", answer: "The colour of the young bridge is orange." },
    { question: "What is the pass key for the silent anchor?", answer: "The pass key for the silent anchor is 371904." },
  ],
};

/** Held back: on which the layers' shares are chosen. */
export const SECOND: ContinuationText = {
  prose: " There is a kind of question which is only asked by strangers, and which it is the business of a whole village not to hear; and so we asked no more.",
  lookups: [
    { question: "What is the pass key for the gentle lantern?", answer: "The pass key for the gentle lantern is 520683." },
    { question: "What is the colour of the rapid otter?", answer: "The colour of the rapid otter is purple." },
    { question: "What is the pass key for the proud walnut?", answer: "The pass key for the proud walnut is 945217." },
  ],
};
