/// troupe_test_reader CONFIG NAME OUTPUT KEY...: a client node that reads until it is killed; see reader_process.hpp.
#include "tests/support/reader_process.hpp"

#include <iostream>

int main(int count, char** words) {
  if (count < 5) {
    std::cerr << "troupe_test_reader CONFIG NAME OUTPUT KEY...\n";
    return 2;
  }
  return troupe::test::read_for_ever({words[1], words[2], words[3], {words + 4, words + count}});
}
