#include <sluice/client.h>

#include <cstdio>

int main(int, char** argv) {
  auto client = sluice::Client::Connect(argv[1]);
  if (!client.ok()) return 1;
  auto greetings = (*client)->SubscribePull("greetings.*");
  if (!greetings.ok() || !(*client)->Publish({.topic = "greetings.en", .payload = "hello"}).ok()) return 2;
  auto greeting = greetings->Next(absl::Seconds(30));
  if (!greeting.ok()) return 3;
  std::printf("%.*s\n", static_cast<int>(greeting->payload().size()), greeting->payload().data());
}
