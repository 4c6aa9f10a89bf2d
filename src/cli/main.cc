#include "cli/app.h"

int main(int argc, char** argv) { return wrenn::cli::Main({argv, argv + argc}); }
