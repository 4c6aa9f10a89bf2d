// Boost.JSON compiled once, so that everything else includes declarations only.
#include <boost/json/src.hpp>
