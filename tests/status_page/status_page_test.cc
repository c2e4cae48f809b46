#include "metrics/status_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice {
namespace {

using testing::AllOf;
using testing::Each;
using testing::EndsWith;
using testing::Ge;
using testing::HasSubstr;
using testing::Lt;
using testing::Not;
using testing::StartsWith;

TEST(StatusPage, IsOneWholeDocument) {
  EXPECT_THAT(StatusPageHtml(), AllOf(StartsWith("<!doctype html>\n"), EndsWith("</html>\n")));
  EXPECT_THAT(StatusPageHtml(), HasSubstr("Asking the broker \u2026")) << "bytes above 127 are as they were";
}

TEST(StatusPage, NamesNothingThatWouldBeFetched) {
  EXPECT_THAT(StatusPageHtml(), Not(HasSubstr("<script src")));
  EXPECT_THAT(StatusPageHtml(), Not(HasSubstr("rel=\"stylesheet\"")));
  EXPECT_THAT(StatusPageHtml(), Not(HasSubstr("@import")));
}

TEST(StatusPage, ItsPolicyIsAHeaderThatAllowsHashesOnly) {
  EXPECT_THAT(StatusPageCsp(), Each(AllOf(Ge(' '), Lt('\x7f'))));
  EXPECT_THAT(StatusPageCsp(), StartsWith("default-src 'none'; connect-src 'self'; script-src 'sha256-"));
  EXPECT_THAT(StatusPageCsp(), HasSubstr("; style-src 'sha256-"));
  EXPECT_THAT(StatusPageCsp(), HasSubstr("frame-ancestors 'none'"));
  EXPECT_THAT(StatusPageCsp(), Not(HasSubstr("unsafe")));
}

}  // namespace
}  // namespace sluice
