// A library that is no module of ours.
extern "C" int nothing_of_interest() { return 0; }
