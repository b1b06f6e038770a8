/* The fixed text whose perplexity is measured: plain English, written for this purpose. */
#include "core/check.h"

const char check_text[] =
    "A lighthouse is a tower with a bright lamp at the top. It stands on the coast, or on a rock in the sea, and helps "
    "sailors find their way at night. Before there were electric lamps, a keeper lived in the tower. Every evening he "
    "climbed the stairs, cleaned the glass and lit the oil lamp, and every morning he put it out again. In winter the "
    "wind was so strong that he could not leave the tower for weeks, and the boat that brought bread, letters and oil "
    "did not come.\n\n"
    "The first lamps could be seen only a few miles away. Then a French engineer had an idea: he put rings of glass "
    "around the flame, each cut at a different angle, so that all of the light was bent in the same direction. With "
    "the "
    "same amount of oil, the new lamp could be seen more than twenty miles away. Soon every country that traded by sea "
    "wanted one, and the number of ships that were lost each year began to fall.\n\n"
    "To tell one lighthouse from another, each has its own rhythm. One shows a flash every five seconds, another two "
    "short flashes and then a long pause. The rhythm is printed on the charts, so a captain who counts the seconds "
    "between the flashes knows where he is, even if he can see nothing else. During the day the towers are told apart "
    "by "
    "their colours: some are white, some have red or black stripes, so that they stand out against the land behind "
    "them.\n\n"
    "Today most lighthouses work without a keeper. A small computer turns on the lamp when it gets dark, and if "
    "something breaks, a message is sent to the nearest harbour. Ships know their position from satellites, and many "
    "people ask whether the towers are still needed. Old sailors say that they are. A screen can fail, they say, and a "
    "battery can run out, but a light on the horizon is something that you can see with your own eyes.\n";
