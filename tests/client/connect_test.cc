// How a client finds its server, and what it says when it does not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/client/client_fixture.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class ConnectTest : public ClientFixture {
 protected:
  // Connect() waits for the broker, which the test plays meanwhile.
  absl::Status ConnectWhile(ClientOptions options, const std::function<void()>& play) {
    options.initial_connect = InitialConnect::kOnce;
    absl::Status status;
    std::thread connecting([&] {
      absl::StatusOr<std::unique_ptr<Client>> client = Client::Connect(std::move(options));
      status = client.status();
      if (client.ok()) client_ = *std::move(client);
    });
    play();
    connecting.join();
    return status;
  }
};

TEST_F(ConnectTest, IntroducesItselfAndKnowsItsServer) {
  ClientOptions options = Options();
  options.name = "ticker";
  v1::Connect hello;
  EXPECT_TRUE(ConnectWhile(options, [&] {
                session_ = broker_.Accept();
                hello = session_->Welcome();
              }).ok());
  EXPECT_EQ(hello.protocol_version(), 1u);
  EXPECT_EQ(hello.client_name(), "ticker");
  EXPECT_THAT(hello.client_library(), StartsWith("sluice-cpp/"));
  EXPECT_EQ(hello.previous_session(), "");
  EXPECT_EQ(client_->state(), ClientState::kConnected);
  const ServerInfo server = client_->server();
  EXPECT_EQ(server.address, "127.0.0.1:" + std::to_string(broker_.port()));
  EXPECT_EQ(server.broker, "fake");
  EXPECT_EQ(server.payload_bytes_max, 1u << 20);
  EXPECT_EQ(server.ping_interval, absl::Seconds(30));
}

TEST_F(ConnectTest, SaysWhereNobodyIs) {
  const std::string url = broker_.url();
  broker_.StopListening();
  const absl::Status status = ConnectWhile(Options(), [] {});
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(url.substr(9) + ": cannot connect: Connection refused"));
}

TEST_F(ConnectTest, SaysWhyTheBrokerRefused) {
  const absl::Status status = ConnectWhile(Options(), [&] {
    session_ = broker_.Accept();
    session_->Read();
    session_->Error(v1::ERROR_CODE_UNSUPPORTED_VERSION, 0, 0);
    v1::Goodbye goodbye;
    goodbye.set_reason(v1::REASON_UNSUPPORTED_VERSION);
    session_->Goodbye(goodbye);
    session_->Close();
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("unsupported_version: says the fake"));
}

TEST_F(ConnectTest, SaysWhyTheBrokerSaidGoodbye) {
  const absl::Status status = ConnectWhile(Options(), [&] {
    session_ = broker_.Accept();
    v1::Goodbye goodbye;
    goodbye.set_reason(v1::REASON_TOO_MANY_CONNECTIONS);
    goodbye.set_text("10 of 10");
    session_->Goodbye(goodbye);
    session_->Read();
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("too_many_connections: 10 of 10"));
}

TEST_F(ConnectTest, AnErrorWithoutAGoodbyeSaysWhy) {
  const absl::Status status = ConnectWhile(Options(), [&] {
    session_ = broker_.Accept();
    session_->Read();
    session_->Error(v1::ERROR_CODE_BAD_CONNECT, 0, 0);
    session_->Close();
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("bad_connect: says the fake"));
}

TEST_F(ConnectTest, ReadsTheGoodbyeOfAServerThatDidNotWaitForConnect) {
  const absl::Status status = ConnectWhile(Options(), [&] {
    session_ = broker_.Accept();
    v1::Goodbye goodbye;
    goodbye.set_reason(v1::REASON_SHUTDOWN);
    session_->Goodbye(goodbye);
    session_->Close();
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("shutdown"));
}

TEST_F(ConnectTest, DoesNotTryAgainWhereItIsUselessToTry) {
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Connect(Options());
  ASSERT_TRUE(client.ok());
  session_ = broker_.Accept();
  session_->Read();
  session_->Error(v1::ERROR_CODE_UNSUPPORTED_VERSION, 0, 0);
  // The Goodbye comes in a read of its own.
  Await([&] { return (*client)->stats().bytes_received > 0; }, "it reads nothing");
  v1::Goodbye goodbye;
  goodbye.set_reason(v1::REASON_UNSUPPORTED_VERSION);
  session_->Goodbye(goodbye);
  EXPECT_EQ((*client)->WaitConnected(kPatience).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ((*client)->state(), ClientState::kClosed);
  EXPECT_EQ((*client)->Close().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ConnectTest, DoesNotWaitForeverForAServerThatSaysNothing) {
  ClientOptions options = Options();
  options.connect_timeout = absl::Milliseconds(20);
  const absl::Status status = ConnectWhile(options, [&] { session_ = broker_.Accept(); });
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr("in time"));
}

TEST_F(ConnectTest, RecognizesAServerOfAnotherKind) {
  const absl::Status status = ConnectWhile(Options(), [&] {
    session_ = broker_.Accept();
    session_->Read();
    session_->WriteBytes(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\nServer: of another "
        "kind\r\n");
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("does not speak this protocol"));
}

TEST_F(ConnectTest, GoesOnToTheNextServer) {
  FakeBroker dead;
  dead.StopListening();
  ClientOptions options = Options();
  options.servers = {dead.url() + "," + broker_.url()};
  EXPECT_TRUE(ConnectWhile(options, [&] {
                session_ = broker_.Accept();
                session_->Welcome();
              }).ok());
  EXPECT_THAT(broker_.url(), HasSubstr(client_->server().address));
}

TEST_F(ConnectTest, RefusesOptionsThatMakeNoSense) {
  const auto refusal = [this](const std::function<void(ClientOptions*)>& change) {
    ClientOptions options = Options();
    change(&options);
    const absl::Status status = Client::Connect(options).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return std::string(status.message());
  };
  EXPECT_THAT(refusal([](ClientOptions* o) { o->servers = {}; }), HasSubstr("no server"));
  EXPECT_THAT(refusal([](ClientOptions* o) { o->servers = {"a:b"}; }), HasSubstr("a:b"));
  EXPECT_THAT(refusal([](ClientOptions* o) { o->name = "a\nb"; }), HasSubstr("without control characters"));
  EXPECT_THAT(refusal([](ClientOptions* o) { o->connect_timeout = absl::ZeroDuration(); }),
              HasSubstr("connect_timeout"));
  EXPECT_THAT(refusal([](ClientOptions* o) { o->reconnect_delay_first = absl::Hours(1); }),
              HasSubstr("reconnect_delay"));
  EXPECT_THAT(refusal([](ClientOptions* o) { o->incoming_bytes_max = 0; }), HasSubstr("incoming_bytes_max"));
}

TEST_F(ConnectTest, WhatComesTogetherWithConnectedIsNotLost) {
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Connect(Options());
  ASSERT_TRUE(client.ok());
  session_ = broker_.Accept();
  session_->Read();
  v1::ServerFrame connected;
  *connected.mutable_connected() = FakeSession::DefaultConnected();
  v1::ServerFrame ping;
  ping.mutable_server_ping()->set_id(7);
  session_->WriteBytes(FakeSession::Bytes(connected) + FakeSession::Bytes(ping));
  EXPECT_EQ(session_->Read().pong().id(), 7u);
}

TEST_F(ConnectTest, KeepsTryingAndSendsWhatWasPublishedMeanwhile) {
  broker_.StopListening();
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Connect(Options());
  ASSERT_TRUE(client.ok());
  EXPECT_EQ((*client)->state(), ClientState::kConnecting);
  EXPECT_TRUE((*client)->Publish("a", "early").ok());
  const absl::Status status = (*client)->WaitConnected(absl::Milliseconds(20));
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  broker_.ListenAgain();
  session_ = broker_.Accept();
  session_->Welcome();
  EXPECT_EQ(session_->Read().message().payload(), "early");
  EXPECT_TRUE((*client)->WaitConnected(kPatience).ok());
}

TEST_F(ConnectTest, ClosingDoesNotWaitForAnAttemptToConnect) {
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Connect(Options());
  ASSERT_TRUE(client.ok());
  session_ = broker_.Accept();
  session_->Read();
  // Its connect_timeout is kPatience.
  EXPECT_TRUE((*client)->Close(absl::Seconds(1)).ok());
  EXPECT_EQ((*client)->WaitConnected(kPatience).code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace sluice
