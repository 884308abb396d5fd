/// Error codes of the protocol. The API shows the same ones to callers, so their definition is a public header.
#pragma once

#include <troupe/errc.hpp>
