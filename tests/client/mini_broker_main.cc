// The mini broker as a program: prints its URL, and serves until its input ends.
#include <iostream>

#include "tests/client/mini_broker.h"

int main() {
  const sluice::MiniBroker broker;
  std::cout << broker.url() << std::endl;
  while (std::cin.get() != std::char_traits<char>::eof()) {
  }
}
