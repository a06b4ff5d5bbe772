"""The events as the project's pages on the two protocols state them, word for word: what codecs are tested against.

The last lines of each, with short topics, stand in the text of the pages; Deposit, DepositFor and Withdraw and the
names of the members of tuples are from the ABIs in npm iexec-poco 3.0.35 and @iexec/poco 6.1.0. `facts` reads them
with code that shares nothing with the indexer.
"""

import re
from typing import Any, NamedTuple

# ruff: noqa: E501

ARBIUS = """
TaskSubmitted(bytes32 id[i], bytes32 model[i], uint256 fee, address sender[i]) 0xc3d3e0544c80e3bb83f62659259ae1574f72a91515ab3cae3dd75cf77e1b0aea
SignalCommitment(address addr[i], bytes32 commitment[i]) 0x09b4c028a2e50fec6f1c6a0163c59e8fbe92b231e5c03ef3adec585e63a14b92
SolutionSubmitted(address addr[i], bytes32 task[i]) 0x957c18b5af8413899ea8a576a4d3fb16839a02c9fccfdce098b6d59ef248525b
SolutionClaimed(address addr[i], bytes32 task[i]) 0x0b76b4ae356796814d36b46f7c500bbd27b2cce1e6059a6fa2bebfd5a389b190
ContestationSubmitted(address addr[i], bytes32 task[i]) 0x6958c989e915d3e41a35076e3c480363910055408055ad86ae1ee13d41c40640
ContestationVote(address addr[i], bytes32 task[i], bool yea) 0x1aa9e4be46e24e1f2e7eeb1613c01629213cd42965d2716e18531b63e552e411
ContestationVoteFinish(bytes32 id[i], uint32 start_idx[i], uint32 end_idx) 0x71d8c71303e35a39162e33a402c9897bf9848388537bac7d5e1b0d202eca4e66
ContestationSuggested(address addr[i], bytes32 task[i]) 0xba9147c54e04748315d27ce008a8c9cb3305f688023e560a026fb0f2adcd157e
TaskRetracted(bytes32 id[i]) 0x446efbf8d207f3e2ede58a6bbde7028a4e308488b6293e6461fbb7c288326e76
FeesPaid(uint256 modelFee, uint256 treasuryFee, uint256 remainingFee, uint256 validatorFee) 0x7549ffd4263adb791c2272344b6ad397f6b0d29e098d92f4d816ad43a0640dc0
FeesPaid(bytes32 model[i], bytes32 task[i], address validator[i], uint256 modelFee, uint256 treasuryFee, uint256 remainingFee, uint256 validatorFee) 0x59f2a8de577b4a5b7c3332ad65c6e929ed6ef0302d2518a843e45a9e2229b020
RewardsPaid(uint256 totalRewards, uint256 treasuryReward, uint256 taskOwnerReward, uint256 validatorReward) 0x65ee2a4c05d8c4801cd9a8d8e592d0d3507a0f362400d63658e3e31aad1622e5
RewardsPaid(bytes32 model[i], bytes32 task[i], address validator[i], uint256 totalRewards, uint256 treasuryReward, uint256 taskOwnerReward, uint256 validatorReward) 0x34be3ac78542b5738ca3dad895cc5df5ce38419f24e7c8bce527d79f4f4c086b
ModelRegistered(bytes32 id[i]) 0xa4b0af38d049ba81703a0d0e46cc2ff39681210302134046237111a8fb7dee72
SolutionMineableRateChange(bytes32 id[i], uint256 rate) 0x0321e8a918b4c47bf3677852c070983825f30a47bc8d9416691454fa6a727d63
ModelFeeChanged(bytes32 id[i], uint256 fee) 0x5930669abd6e86dc60e9ac97eba465cc7616d921cbd528312d3dfb4c98f38670
ModelAddrChanged(bytes32 id[i], address addr) 0xeafdd1f0eea366f4be1889897ed391bb67f32c22bb7ba7d9d3db1888acfd7f63
ModelAllowListUpdated(bytes32 model[i], address solver[i], bool added) 0x0ca5f5d55f752d1868c56e675a848a78c3b7e3ad4145484f9557746300a25b89
ModelAllowListRequirementChanged(bytes32 model[i], bool required) 0x30c643b688b3708f765d40dc41ac8930806a124f9ee93af48ee77187642f862b
SolutionModelFeePercentageChanged(uint256 percentage) 0xdfdf0c03e80886f567e1e2bc0c6f161d757d140c4c110c2822f5bc0a862ca032
SolutionModelFeePercentageOverrideCleared(bytes32 model[i]) 0xedc9f958ad20a209ff41c14ce0d5c5aec069276cccc49ffd311165a8a3dca461
MasterContesterRegistrySet(address registry[i]) 0xdad6b3518a96781880e5402283e21d31b90fd990e9e190da50bda0387ad1c16f
MasterContesterVoteAdderSet(uint32 adder) 0xfe389eb87a6afff0722ad2ecda4728e4f879302f3ea9fb49a2159437c56cbf14
ValidatorDeposit(address addr[i], address validator[i], uint256 amount) 0x8d4844488c19a90828439e71d14ebad860806d04f8ef8b25a82179fab2699b89
ValidatorWithdrawInitiated(address addr[i], uint256 count[i], uint256 unlockTime, uint256 amount) 0xcc7e0e76b20394ef965d71c4111d21e1b322bb8775dc2c7acd29eb0d3c3dd96d
ValidatorWithdrawCancelled(address addr[i], uint256 count[i]) 0xf9d5cfcdfe9803069225971ba315f4302add9b477c3441cc363bc38fdb065b90
ValidatorWithdraw(address addr[i], address to[i], uint256 count[i], uint256 amount) 0x109aeff667601aad33abcb7c5df1617754eefd18253d586a95c198cb479b5bd4
SignalSupport(address addr[i], bytes32 model[i], bool supported) 0xd17ce9337eb398b61971ca3d8c9933fc401b9669a0607afe3452612583d7c5b8
PausedChanged(bool paused[i]) 0xd83d5281277e107f080e362699d46082adb74e7dc6a9bccbc87d8ae9533add44
PauserTransferred(address to[i]) 0x5a85b4270fc1e75035e6cd505418ce65e0bcc36cc7eb9ce9e6f8c6181d4cb577
TreasuryTransferred(address to[i]) 0x6bdb9ceff405d990c9b60be9f719fbb80889d5f064e8fd76efd5bea353e90712
VersionChanged(uint256 version) 0x8c854a81cb5c93e7e482d30fb9c6f88fdbdb320f10f7a853c2263659b54e563f
StartBlockTimeChanged(uint64 startBlockTime[i]) 0xa15d6b0930a82638ac4775bfd1b2e9f1e86be67e1bd3a09fa8a77a8f079769d7
SolutionStakeAmountChanged(uint256 amount[i]) 0xa7597266328022d189bdbb20244e37e01bd5972bf8fa6a76c9b76cb666b23fbc
ValidatorMinimumPercentageChanged(uint256 amount[i]) 0xb2ba28b5b5aed3444b23a8597a249678dd98e0062432ef1b0f9a6caa39ceb0ad
SlashAmountPercentageChanged(uint256 amount[i]) 0x4d3fce9ddc8266ead559213cbaaa8ebcfa0c837a2c9a1e814bae160b615d30dd
SolutionFeePercentageChanged(uint256 amount[i]) 0xa9dfc7ca3151b504bdbe971426324a888f97e7e7a52929484c01dff8168058ab
RetractionFeePercentageChanged(uint256 amount[i]) 0x248f32867b202a570ffbb94e864b6075503b4961c00317f152604ee3b8de4dda
TreasuryRewardPercentageChanged(uint256 amount[i]) 0x4cedc026426414a08f6f21ca64d85564bf602162bb3463dd2d3e17b58c1da589
MinClaimSolutionTimeChanged(uint256 amount[i]) 0xed28aed8b87631da9bc750c8885c00f9beda7f694a23bb732d987aa80214a63f
MinRetractionWaitTimeChanged(uint256 amount[i]) 0x2cf38ed7da57dd510fa6ecbfb991949cdde5c808acbe85cfa940b642def628ed
MinContestationVotePeriodTimeChanged(uint256 amount[i]) 0x3a559dce5761b4b2e6099b6dc8d51f7eb190932dc5797d8090daf1a42cd58e7d
MaxContestationValidatorStakeSinceChanged(uint256 amount[i]) 0xdb340415b83e58bab317964518d523baabcc1571de3b5d8fe6ebd52c704d31a9
ExitValidatorMinUnlockTimeChanged(uint256 amount[i]) 0x7bf73d8c24113d60e7de7e92ae237284cf5a6f8dfe31e8eee1c6d9c8890e13c9
Initialized(uint8 version) 0x7f26b83ff96e1f2b6a682f133852f6798a09c465da95921460cefb3847402498
OwnershipTransferred(address previousOwner[i], address newOwner[i]) 0x8be0079c531659141344cd1fd0a4f28419497f9722a3daafe3b4186f6b6457e0
Upgraded(address implementation[i]) 0xbc7cd75a20ee27fd9adebab32041f755214dbc6bffa90cc0225b39da2e5c2d3b
AdminChanged(address previousAdmin, address newAdmin) 0x7e644d79422f17c01e4894b5f4f588d331ebfa28653d42ae832dc59e38c9798f
IncentiveAdded(bytes32 taskid[i], uint256 amount) 0x19d4213c
IncentiveClaimed(bytes32 taskid[i], address recipient[i], uint256 amount) 0x8c8fb16c
"""

IEXEC = """
OrdersMatched | bytes32 dealid,bytes32 appHash,bytes32 datasetHash,bytes32 workerpoolHash,bytes32 requestHash,uint256 volume | 0xd811b592ed0899225773e8933d8df64bd0b62761a9d7aad4ed5b22735f4610a4 | hub
SchedulerNotice | **indexed** address workerpool,bytes32 dealid | 0x692ad61076dceddd0f1a861f737553dd61fc8501cf4190d29c4e90af6607f765 | hub
DealSponsored | bytes32 dealId,address sponsor | 0x81eec3d5401bb1693dbef61f0800bc16602905d6677d691c1262d6f08456e9a0 | hub
TaskInitialize | **indexed** bytes32 taskid,**indexed** address workerpool | 0x252992fb0468d68d6a5784ec03214f0d0a362083f2d7ebd157af43b017a22e06 | hub
TaskContribute | **indexed** bytes32 taskid,**indexed** address worker,bytes32 hash | 0x3fdb8d7797562d49a81078dbf7fa1771958ea452f8b13d1148383bd9506aecfb | hub
TaskConsensus | **indexed** bytes32 taskid,bytes32 consensus | 0xf6d49bf3e05d33a4bc497d3c793fb5756388bb96b947cf51bb60aaecb0e022e3 | hub
TaskReveal | **indexed** bytes32 taskid,**indexed** address worker,bytes32 digest | 0x4b1763d473ac8fa80b4432ba90047e1b92444d8fabc55e6a002d9b1a316d7959 | hub
TaskReopen | **indexed** bytes32 taskid | 0x3afe0f24796ce653c6ab1f3e7aba5ce564eece5e82aee724aff28253e829f07b | hub
TaskFinalize | **indexed** bytes32 taskid,bytes results | 0x78ce8a8bc0fcb704e8ba3b3dbb36aa88002df8038128b4af2f27ef65db665044 | hub
TaskClaimed | **indexed** bytes32 taskid | 0xcbc308b5f91040d2659a5201858344b0b583cd2f9e18e8470c2fa052c5b21ff8 | hub
AccurateContribution | **indexed** address worker,**indexed** bytes32 taskid | 0x9703f4589802246c80b822e63697180da799e363cd1b6fd9465a5e5574d53492 | hub
FaultyContribution | **indexed** address worker,**indexed** bytes32 taskid | 0xf868788948d55240774fdbad06555105ef20bbc70d1b7eccda982b65e11e79bb | hub
Transfer | **indexed** address from,**indexed** address to,uint256 value | 0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef | hub
Approval | **indexed** address owner,**indexed** address spender,uint256 value | 0x8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925 | hub
Lock | address owner,uint256 amount | 0x625fed9875dada8643f2418b838ae0bc78d9a148a18eee4ee1979ff0f3f5d427 | hub
Unlock | address owner,uint256 amount | 0x6381d9813cabeb57471b5a7e05078e64845ccdb563146a6911d536f24ce960f1 | hub
Reward | address owner,uint256 amount,bytes32 ref | 0xc2aca55aa696938c7e95842e8939ca0fbb2120a3eeb8948cdcee2b70da566672 | hub
Seize | address owner,uint256 amount,bytes32 ref | 0x1bccc549c38561cd5b57f0db11ceb8dde1b0b6ee05ab5e155b51c7c5ba64becb | hub
CreateCategory | uint256 catid,string name,string description,uint256 workClockTimeRef | 0x62bf08360c9d561749c54eaf4f8bf8cb6c8b6f4f40607bcec39a8172e714d25c | hub
SignedAppOrder | bytes32 appHash | 0x50933cf5a9c44d5ed66b895deb27212aa33d811b46a7b41093e047e213c0bcab | hub
SignedDatasetOrder | bytes32 datasetHash | 0x79ce85909be2c590a728d1634ce6ec8a7cbf815260bacc05387890a313da8130 | hub
SignedWorkerpoolOrder | bytes32 workerpoolHash | 0x3a61aabf2ab04790d082ff1e332853b2f66944c2e951a146121f80272812a476 | hub
SignedRequestOrder | bytes32 requestHash | 0x3b0ac04165536d6b11d04220f998c840bd6e439d59c5d8721bba8a4e1fb9ebfd | hub
ClosedAppOrder | bytes32 appHash | 0x7343f75be43aba524f85326508cd975d016ef7884676377366c69a7c32e30668 | hub
ClosedDatasetOrder | bytes32 datasetHash | 0xcf52e3228bc482a6656d8ab56c09888b1c5bf6aaadba0185e96a34836f2bb1d4 | hub
ClosedWorkerpoolOrder | bytes32 workerpoolHash | 0x145ad51e4496173bca15e24e7eb46f9ab3a10eea0497e2801a3a6806c06113a3 | hub
ClosedRequestOrder | bytes32 requestHash | 0x582f43f2a741cbe708aae3b8d38a4efc3d09d7e81919697b3ca693f4c444cc05 | hub
BroadcastAppOrder | (address,uint256,uint256,bytes32,address,address,address,bytes32,bytes) apporder | 0x6fd493f856b22df174df46975d6dcf0895c7dfb3c63d20179c0dcd5563e2f565 | hub
BroadcastDatasetOrder | (address,uint256,uint256,bytes32,address,address,address,bytes32,bytes) datasetorder | 0xc56d982ad2fd39ebadca073cc88d9bdaee0f4c8e7b2b6be50227169daefc7b3f | hub
BroadcastWorkerpoolOrder | (address,uint256,uint256,bytes32,uint256,uint256,address,address,address,bytes32,bytes) workerpoolorder | 0xaf81a046e31ebb2be305579e585ac6b2ee3fdc2dc9dba806bb826879bb2c7851 | hub
BroadcastRequestOrder | (address,uint256,address,uint256,address,uint256,address,uint256,bytes32,uint256,uint256,address,address,string,bytes32,bytes) requestorder | 0x54bee205d9b03332d6dc82bc907476dfef6ed4fd86058d49a72994baee781175 | hub
OwnershipTransferred | **indexed** address previousOwner,**indexed** address newOwner | 0x8be0079c531659141344cd1fd0a4f28419497f9722a3daafe3b4186f6b6457e0 | hub + 3 registries
DiamondCut | (address,uint8,bytes4[])[] _diamondCut,address _init,bytes _calldata | 0x8faa70878671ccd212d20771b795c50af8fd3ff6cf27f4bde57e5d4de0aeb673 | hub (v6)
Transfer | **indexed** address from,**indexed** address to,**indexed** uint256 tokenId | 0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef | App/Dataset/WorkerpoolRegistry
Approval | **indexed** address owner,**indexed** address approved,**indexed** uint256 tokenId | 0x8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925 | registries
ApprovalForAll | **indexed** address owner,**indexed** address operator,bool approved | 0x17307eab39ab6107e8899845ad3d59bd9653f200f220920489ca2b5937696c31 | registries
PolicyUpdate | uint256 oldWorkerStakeRatioPolicy,uint256 newWorkerStakeRatioPolicy,uint256 oldSchedulerRewardRatioPolicy,uint256 newSchedulerRewardRatioPolicy | 0x61f37ef3a6d587ce2d6be79492e1fac570f2745787015db7ed95ad4397b05c1e | each **Workerpool contract** (not the registry)
SchedulerNoticeBoost | **indexed** address workerpool,bytes32 dealId,address app,address dataset,uint256 category,bytes32 tag,string params,address beneficiary | 0x90edec6d368fb8a52f3cba8ef8adbc79511b2b7a6d1df663e38ae6f4775c11a6 | hub
ResultPushedBoost | bytes32 dealId,uint256 index,bytes results | 0xfbd7641f7e58d072f2d358846c1b7880d83d9293a71a4b04880b8eaf7e54306f | hub
DealSponsoredBoost | bytes32 dealId,address sponsor | 0x30d8c59de5f54b676eb3410d971831f2cd83fcf445559b287cecadb1900fc454 | hub
CommitMessage | string message | 0xaa1c0a0a | hub
FunctionUpdate | **indexed** bytes4 functionId,**indexed** address oldDelegate,**indexed** address newDelegate,string functionSignature | 0x3234040c | hub
CreateApp | **indexed** address appOwner,address app | 0x5ba7d57c | AppRegistry
CreateDataset | **indexed** address datasetOwner,address dataset | 0xc5e9a044 | DatasetRegistry
CreateWorkerpool | **indexed** address workerpoolOwner,**indexed** address workerpool,string workerpoolDescription | 0xc1bcdd82 | WorkerpoolRegistry
Deposit | address owner,uint256 amount | 0xe1fffcc4 | hub
DepositFor | address owner,uint256 amount,address target | 0xcce62bfc | hub
Withdraw | address owner,uint256 amount | 0x884edad9 | hub
"""

MEMBERS = {
    "apporder": "app appprice volume tag datasetrestrict workerpoolrestrict requesterrestrict salt sign",
    "datasetorder": "dataset datasetprice volume tag apprestrict workerpoolrestrict requesterrestrict salt sign",
    "workerpoolorder": "workerpool workerpoolprice volume tag category trust apprestrict datasetrestrict requesterrestrict salt sign",
    "requestorder": "app appmaxprice dataset datasetmaxprice workerpool workerpoolmaxprice requester volume tag category trust beneficiary callback params salt sign",
    "_diamondCut": "facetAddress action functionSelectors",
}

REGISTRIES = ("appregistry", "datasetregistry", "workerpoolregistry")
EMITTERS = {
    "hub": ("hub",),
    "hub (v6)": ("hub",),
    "hub + 3 registries": ("hub", *REGISTRIES),
    "App/Dataset/WorkerpoolRegistry": REGISTRIES,
    "registries": REGISTRIES,
    "AppRegistry": ("appregistry",),
    "DatasetRegistry": ("datasetregistry",),
    "WorkerpoolRegistry": ("workerpoolregistry",),
    "each **Workerpool contract** (not the registry)": ("workerpool",),
}


class Fact(NamedTuple):
    """An event as a page has it. `inputs` is that of a JSON ABI; `topic0` may be cut short."""

    network: str
    roles: tuple[str, ...]
    name: str
    inputs: tuple[dict[str, Any], ...]
    topic0: str

    @property
    def topics(self) -> int:
        return 1 + sum(part["indexed"] for part in self.inputs)

    def __str__(self) -> str:
        return f"{self.network}.{self.name}.{self.topics}"


def facts() -> list[Fact]:
    found = []
    for line in ARBIUS.strip().splitlines():
        name, arguments, topic0 = re.fullmatch(r"(\w+)\((.*)\) (0x\w+)", line).groups()
        role = "router" if name.startswith("Incentive") else "engine"
        found.append(Fact("arbius", (role,), name, _inputs(arguments, "[i]"), topic0))
    for line in IEXEC.strip().splitlines():
        name, arguments, topic0, emitter = line.split(" | ")
        found.append(Fact("iexec", EMITTERS[emitter], name, _inputs(arguments, "**indexed** "), topic0))
    return found


def _inputs(arguments: str, mark: str) -> tuple[dict[str, Any], ...]:
    """Split at the commas that are outside of brackets."""
    return tuple(_input(part.strip(), mark) for part in re.findall(r"(?:\([^)]*\)|[^,(])+", arguments))


def _input(text: str, mark: str) -> dict[str, Any]:
    kind, name = text.replace(mark, "").rsplit(" ", 1)
    found = {"name": name, "type": kind, "indexed": mark in text}
    if kind.startswith("("):
        kinds, suffix = kind[1:].split(")")
        parts = zip(MEMBERS[name].split(), kinds.split(","), strict=True)
        found |= {"type": f"tuple{suffix}", "components": [{"name": part, "type": word} for part, word in parts]}
    return found
