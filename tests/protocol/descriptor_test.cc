// The rules for every future change of sluice.proto, checked on its descriptor (which the lite code that we
// build with does not have: protoc writes it to a file).
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::FileDescriptorSet;

class DescriptorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::ifstream in(SLUICE_DESCRIPTOR_FILE, std::ios::binary);
    FileDescriptorSet files;
    ASSERT_TRUE(files.ParseFromIstream(&in)) << SLUICE_DESCRIPTOR_FILE;
    ASSERT_EQ(files.file_size(), 1);
    file_ = pool_.BuildFile(files.file(0));
    ASSERT_NE(file_, nullptr);
    client_ = file_->FindMessageTypeByName("ClientFrame");
    server_ = file_->FindMessageTypeByName("ServerFrame");
    message_ = file_->FindMessageTypeByName("Message");
    ASSERT_TRUE(client_ != nullptr && server_ != nullptr && message_ != nullptr);
  }

  DescriptorPool pool_;
  const FileDescriptor* file_ = nullptr;
  const Descriptor* client_ = nullptr;
  const Descriptor* server_ = nullptr;
  const Descriptor* message_ = nullptr;
};

std::set<int> NumbersOf(const Descriptor& type) {
  std::set<int> numbers;
  for (int i = 0; i < type.field_count(); ++i) numbers.insert(type.field(i)->number());
  return numbers;
}

std::set<int> ReservedNumbersOf(const Descriptor& type) {
  std::set<int> numbers;
  for (int i = 0; i < type.reserved_range_count(); ++i) {
    const auto* range = type.reserved_range(i);
    for (int number = range->start; number < range->end; ++number) numbers.insert(number);
  }
  return numbers;
}

std::vector<const Descriptor*> AllTypes(const FileDescriptor& file) {
  std::vector<const Descriptor*> types;
  for (int i = 0; i < file.message_type_count(); ++i) types.push_back(file.message_type(i));
  for (size_t i = 0; i < types.size(); ++i) {  // grows while it is walked
    for (int j = 0; j < types[i]->nested_type_count(); ++j) types.push_back(types[i]->nested_type(j));
  }
  return types;
}

std::vector<const EnumDescriptor*> AllEnums(const FileDescriptor& file) {
  std::vector<const EnumDescriptor*> enums;
  for (int i = 0; i < file.enum_type_count(); ++i) enums.push_back(file.enum_type(i));
  for (const Descriptor* type : AllTypes(file)) {
    for (int i = 0; i < type->enum_type_count(); ++i) enums.push_back(type->enum_type(i));
  }
  return enums;
}

TEST_F(DescriptorTest, TheMessageIsTheOnlyNumberThatBothFramesShare) {
  std::vector<int> shared;
  for (int number : NumbersOf(*client_)) {
    if (NumbersOf(*server_).contains(number)) shared.push_back(number);
  }
  ASSERT_EQ(shared, std::vector<int>{1});
  for (const Descriptor* frame : {client_, server_}) {
    const FieldDescriptor* field = frame->FindFieldByNumber(1);
    EXPECT_EQ(field->name(), "message");
    EXPECT_EQ(field->message_type(), message_);
  }
}

TEST_F(DescriptorTest, WhatOneFrameReservesTheOtherDoesNotUse) {
  for (const auto& [one, other] : {std::pair(client_, server_), std::pair(server_, client_)}) {
    ASSERT_FALSE(ReservedNumbersOf(*one).empty()) << one->name();
    for (int number : ReservedNumbersOf(*one)) {
      EXPECT_FALSE(NumbersOf(*other).contains(number)) << number << " is reserved in " << one->name();
      EXPECT_FALSE(ReservedNumbersOf(*other).contains(number)) << number << " is reserved in both";
    }
  }
}

TEST_F(DescriptorTest, TheBrokersNumbersAreTheBrokersAndTheClientsTheClients) {
  for (int number : NumbersOf(*client_)) EXPECT_LT(number, 16) << "a client's frame";
  for (int number : NumbersOf(*server_)) EXPECT_TRUE(number == 1 || number >= 16) << number;
  for (int number = 40; number <= 47; ++number) {  // what the broker will add to the messages of streams
    EXPECT_TRUE(ReservedNumbersOf(*server_).contains(number)) << number;
  }
}

// A frame is its one member: nothing stands beside it.
TEST_F(DescriptorTest, EachFrameIsOneOneofOfMessages) {
  for (const Descriptor* frame : {client_, server_}) {
    ASSERT_EQ(frame->oneof_decl_count(), 1) << frame->name();
    for (int i = 0; i < frame->field_count(); ++i) {
      const FieldDescriptor* field = frame->field(i);
      EXPECT_EQ(field->containing_oneof(), frame->oneof_decl(0)) << field->full_name();
      EXPECT_EQ(field->type(), FieldDescriptor::TYPE_MESSAGE) << field->full_name();
    }
  }
}

// CheckPublish and ReadMessage walk a message by hand: each field has a tag of one byte and a length. A field
// that is added here must be taught there, and means a new version of the protocol.
TEST_F(DescriptorTest, AMessageHoldsWhatTheWalkKnows) {
  const std::map<std::string, std::vector<std::string>> known = {
      {"Message", {"1 string topic", "2 bytes payload", "3 string reply_to", "4 repeated message headers"}},
      {"Header", {"1 string name", "2 string value"}}};
  for (const auto& [name, fields] : known) {
    const Descriptor* type = file_->FindMessageTypeByName(name);
    ASSERT_NE(type, nullptr);
    std::vector<std::string> found;
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor* field = type->field(i);
      EXPECT_LT(field->number(), 16) << "16 and up are the broker's: " << field->full_name();
      found.push_back(std::to_string(field->number()) + (field->is_repeated() ? " repeated " : " ") +
                      field->type_name() + " " + field->name());
    }
    EXPECT_EQ(found, fields);
  }
}

TEST_F(DescriptorTest, NothingStandsInItThatSomeLanguageReadsInAnotherWay) {
  EXPECT_EQ(file_->syntax(), FileDescriptor::SYNTAX_PROTO3);
  EXPECT_EQ(file_->package(), "sluice.v1");
  EXPECT_EQ(file_->dependency_count(), 0);
  EXPECT_EQ(file_->extension_count(), 0);
  for (const Descriptor* type : AllTypes(*file_)) {
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor* field = type->field(i);
      EXPECT_FALSE(field->is_map()) << field->full_name();
      EXPECT_NE(field->type(), FieldDescriptor::TYPE_GROUP) << field->full_name();
      EXPECT_NE(field->cpp_type(), FieldDescriptor::CPPTYPE_FLOAT) << field->full_name();
      EXPECT_NE(field->cpp_type(), FieldDescriptor::CPPTYPE_DOUBLE) << field->full_name();
    }
  }
}

TEST_F(DescriptorTest, EveryEnumBeginsWithAnUnspecifiedZeroOrADefault) {
  for (const EnumDescriptor* type : AllEnums(*file_)) {
    EXPECT_FALSE(type->options().allow_alias()) << type->full_name();
    const EnumValueDescriptor* zero = type->FindValueByNumber(0);
    ASSERT_NE(zero, nullptr) << type->full_name();
    EXPECT_TRUE(zero->name().ends_with("_UNSPECIFIED") || zero->name().ends_with("_DEFAULT"))
        << zero->full_name();
  }
}

class ReadmeTest : public DescriptorTest {
 protected:
  void SetUp() override {
    DescriptorTest::SetUp();
    std::ifstream in(SLUICE_PROTOCOL_README);
    readme_.assign(std::istreambuf_iterator<char>(in), {});
    ASSERT_FALSE(readme_.empty()) << SLUICE_PROTOCOL_README;
  }

  // A row of a table that begins with this name and number.
  void ExpectRow(const std::string& name, int number) {
    const std::string row = "\n| `" + name + "` | " + std::to_string(number) + " |";
    EXPECT_NE(readme_.find(row), std::string::npos) << "protocol/README.md lacks the row " << row;
  }

  std::string readme_;
};

TEST_F(ReadmeTest, ExplainsEveryFrame) {
  for (const Descriptor* frame : {client_, server_}) {
    for (int i = 0; i < frame->field_count(); ++i)
      ExpectRow(frame->field(i)->name(), frame->field(i)->number());
  }
}

TEST_F(ReadmeTest, ExplainsEveryErrorAndReason) {
  for (const auto& [type, prefix] : {std::pair("ErrorCode", "ERROR_CODE_"), std::pair("Reason", "REASON_")}) {
    const EnumDescriptor* values = file_->FindEnumTypeByName(type);
    ASSERT_NE(values, nullptr) << type;
    for (int i = 0; i < values->value_count(); ++i) {
      const EnumValueDescriptor* value = values->value(i);
      ASSERT_TRUE(value->name().starts_with(prefix)) << value->name();
      if (value->number() != 0) ExpectRow(value->name().substr(std::string(prefix).size()), value->number());
    }
  }
}

}  // namespace
