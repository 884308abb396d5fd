/// troupe_test_owner CONFIG NAME OUTPUT NAP_MS: a client node that takes a named lock until it is killed; see
/// owner_process.hpp.
#include "tests/support/owner_process.hpp"

#include <iostream>

int main(int count, char** words) {
  if (count != 5) {
    std::cerr << "troupe_test_owner CONFIG NAME OUTPUT NAP_MS\n";
    return 2;
  }
  return troupe::test::own_for_ever({words[1], words[2], words[3], std::chrono::milliseconds{std::stol(words[4])}});
}
